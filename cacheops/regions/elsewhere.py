"""Other regions are told by threads that nobody waits for: a thread a region, so that it hears all in its order.

An interpreter that ends waits for what is under way. One that is killed loses it: what must not be lost goes into the
database's log, or its queue. Behind a region that hangs MAX_WAITING acts wait; what comes then is left out.
"""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from cacheops.engine import Component, register_component
from cacheops.exceptions import StoreError, StoreUnavailable
from cacheops.instrumentation.counters import counters

logger = logging.getLogger("cacheops")
T = TypeVar("T")

MAX_WAITING = 1000  # acts of a process for a region, some 1 MB: of a region that answers, those of a minute


class RegionThread:
    """The thread of one region, and what waits for it."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._pool = ThreadPoolExecutor(1, f"cacheops-{region}")
        self._lock = threading.Lock()
        self._waiting = 0
        self._left_out = 0  # since the region was last told all
        self._amends: Callable[[], Any] | None = None  # what makes up for them

    def tell(self, act: Callable[[], T], amends: Callable[[], Any] | None) -> Future[T]:
        with self._lock:
            if self._waiting < MAX_WAITING:
                self._waiting += 1
                return self._pool.submit(self._run, act)
            self._left_out += 1
            self._amends = amends or self._amends
            is_first = self._left_out == 1
        counters.event("left_out", **{self._region: 1})
        reason = f"Region {self._region} is not told more: {MAX_WAITING} acts wait for it."
        if is_first:
            logger.warning(reason)
        refused: Future[T] = Future()
        refused.set_exception(StoreUnavailable(reason))
        return refused

    def _run(self, act: Callable[[], T]) -> T:
        try:
            return act()
        finally:
            self._done()

    def _done(self) -> None:
        """Take note that an act is done; behind the last one, make up for what was left out."""
        with self._lock:
            self._waiting -= 1
            if self._waiting:
                return
            left_out, self._left_out = self._left_out, 0
            amends, self._amends = self._amends, None
        if left_out:
            logger.warning("Region %s is told all again; %d acts were left out.", self._region, left_out)
        if amends is not None:
            with suppress(RuntimeError):  # the interpreter ends
                self._pool.submit(self._make, amends)

    def _make(self, amends: Callable[[], Any]) -> None:
        try:
            amends()
        except StoreError:  # it has reported it; behind the next act, again
            with self._lock:
                self._amends = self._amends or amends

    def wait(self) -> None:
        self._pool.submit(int).result()

    def close(self) -> None:
        self._pool.shutdown()


class Elsewhere(Component):
    """The threads of this process."""

    def __init__(self) -> None:
        self._threads: dict[tuple[int, str], RegionThread] = {}  # by process: a fork's child has none of them
        self._lock = threading.Lock()

    def tell(self, region: str, act: Callable[[], T], amends: Callable[[], Any] | None = None) -> Future[T]:
        """Have a region's thread act, behind all that it was given before.

        Where too much waits, the act is left out, and fails with StoreUnavailable at once. `amends`, if given, is then
        called in its stead, once for all that were left out, when nothing waits any more.
        """
        key = os.getpid(), region
        with self._lock:
            thread = self._threads.get(key)
            if thread is None:
                thread = self._threads[key] = RegionThread(region)
        return thread.tell(act, amends)

    def wait(self) -> None:
        """Wait until all that was given is done."""
        for thread in self._own():
            thread.wait()

    def close(self) -> None:
        own = self._own()
        with self._lock:
            self._threads.clear()
        for thread in own:
            thread.close()

    def _own(self) -> list[RegionThread]:
        with self._lock:
            return [thread for (process, _), thread in self._threads.items() if process == os.getpid()]


elsewhere = register_component(Elsewhere())
