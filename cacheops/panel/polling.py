"""Regions are asked at once, in threads, and not for longer than a page may wait; answers are kept for some seconds.

People who look at one page together cost its regions one look. A region that answers too late answers the next page.
"""

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from typing import Any, NamedTuple, TypeVar

from cacheops.engine import Component, register_component
from cacheops.exceptions import StoreError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

PATIENCE = 1.0  # seconds that a page waits for all regions together
KEPT = 2.0  # seconds for which an answer is shown again; pages ask every five
THREADS = 6  # more regions wait for each other; each thread holds a connection to each server


class Unavailable(NamedTuple):
    """Stands where a region did not tell; `why` is for people."""

    why: str


class Answers(Component):
    """The latest answers of regions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None  # made by the first look, in the process that looks
        self._asked: dict[Hashable, tuple[float, Future[Any]]] = {}

    def forget(self) -> None:
        """Ask anew the next time: something was changed."""
        with self._lock:
            self._asked.clear()

    settings_changed = forget

    def start(self, asks: Mapping[K, Callable[[], Any]], *, kept: float = KEPT) -> None:
        """Have regions begin with what will be asked for."""
        for key, call in asks.items():
            self._future(key, call, kept)

    def ask(
        self, asks: Mapping[K, Callable[[], V]], *, kept: float = KEPT, until: float | None = None
    ) -> dict[K, V | Unavailable]:
        """Return what each call returns, by key; Unavailable where it raises StoreError, or is not done in time.

        `until` is the moment (monotonic) at which the page has waited long enough; None: PATIENCE from now.
        """
        waiting = {key: self._future(key, call, kept) for key, call in asks.items()}
        deadline = time.monotonic() + PATIENCE if until is None else until
        found: dict[K, V | Unavailable] = {}
        for key, future in waiting.items():
            try:
                found[key] = future.result(max(0.0, deadline - time.monotonic()))
            except TooLate:
                found[key] = Unavailable(f"It has not answered within {PATIENCE:g} s.")
            except StoreError as error:
                found[key] = Unavailable(str(error))
        return found

    def _future(self, key: Hashable, call: Callable[[], V], kept: float) -> "Future[V]":
        with self._lock:
            held = self._asked.get(key)
            if held is not None and (not held[1].done() or time.monotonic() - held[0] < kept):
                return held[1]
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cacheops-panel")
            future = self._threads.submit(call)
            self._asked[key] = (time.monotonic(), future)
            return future


answers = register_component(Answers())
