"""Failures of a command that goes on until it is stopped."""

import logging
from collections.abc import Sequence

from cacheops.instrumentation.minute_log import minute_log

logger = logging.getLogger("cacheops")


class Retries:
    """How long a command waits after failures in a row, and what the log says: a line a minute, and that it goes on."""

    def __init__(self, name: str, pauses: Sequence[float]) -> None:
        self.name = name
        self.pauses = pauses
        self._failures = 0

    def failed(self, error: Exception) -> float:
        """Note a failure; return for how long to wait."""
        pause = self.pauses[min(self._failures, len(self.pauses) - 1)]
        self._failures += 1
        minute_log.warning(self.name, "%s tries again in %s s: %s", self.name, pause, str(error).strip())
        return pause

    def worked(self) -> None:
        """Note that it works."""
        if self._failures:
            logger.warning("%s goes on after %d failures.", self.name, self._failures)
            minute_log.end(self.name)
            self._failures = 0
