"""Log lines about what happens with every call while something is wrong."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Hashable

from cacheops.engine import Component, register_component

logger = logging.getLogger("cacheops")

SECONDS = 60.0  # between two lines of a kind


class MinuteLog(Component):
    """Logs one line a kind and minute, and says how often it happened since the line before. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[Hashable, float] = {}  # monotonic
        self._counts: Counter[Hashable] = Counter()

    def error(self, kind: Hashable, message: str, *arguments: object) -> None:
        self._log(logging.ERROR, kind, message, arguments)

    def warning(self, kind: Hashable, message: str, *arguments: object) -> None:
        self._log(logging.WARNING, kind, message, arguments)

    def _log(self, level: int, kind: Hashable, message: str, arguments: tuple[object, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            self._counts[kind] += 1
            if now < self._next.get(kind, now):
                return
            self._next[kind] = now + SECONDS
            count = self._counts.pop(kind)
        since = f" ({count} since the last line)" if count > 1 else ""
        logger.log(level, message + since, *arguments)

    def end(self, kind: Hashable) -> int:
        """Return how often it happened since the last line; what comes after this is logged at once."""
        with self._lock:
            self._next.pop(kind, None)
            return self._counts.pop(kind, 0)


minute_log = register_component(MinuteLog())  # of what has no circuit
