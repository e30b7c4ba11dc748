"""Other regions are told by threads that nobody waits for: a thread a region, so that it hears all in its order.

An interpreter that ends waits for what is under way. One that is killed loses it: what must not be lost goes into the
database's log, or its queue.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from cacheops.engine import Component, register_component

T = TypeVar("T")


class Elsewhere(Component):
    """The threads of this process."""

    def __init__(self) -> None:
        self._threads: dict[tuple[int, str], ThreadPoolExecutor] = {}  # by process: a fork's child has none of them
        self._lock = threading.Lock()

    def tell(self, region: str, act: Callable[[], T]) -> Future[T]:
        """Have a region's thread act, behind all that it was given before."""
        key = os.getpid(), region
        with self._lock:
            if key not in self._threads:
                self._threads[key] = ThreadPoolExecutor(1, f"cacheops-{region}")
            return self._threads[key].submit(act)

    def wait(self) -> None:
        """Wait until all that was given is done."""
        for told in [self.tell(region, lambda: None) for process, region in [*self._threads] if process == os.getpid()]:
            told.result()

    def close(self) -> None:
        with self._lock:
            for (process, _), threads in self._threads.items():
                if process == os.getpid():
                    threads.shutdown()
            self._threads.clear()


elsewhere = register_component(Elsewhere())
