"""Databases that do not answer, and whose turn it is to ask one again: one caller at a time, the others go on."""

import threading
import time

from cacheops.engine import Component

RETRY_SECONDS = 1.0  # between two attempts of a process to reach a database


class Turns(Component):
    """The databases that this process could not reach when it last asked, by alias. Shared by all threads."""

    hold_seconds = RETRY_SECONDS  # for which an attempt that has not ended keeps the others from asking

    def __init__(self) -> None:
        self._ask_at: dict[str, float] = {}  # monotonic: when one caller may ask again
        self._lock = threading.Lock()

    def settings_changed(self) -> None:
        with self._lock:
            self._ask_at.clear()

    def is_away(self, database: str) -> bool:
        """Return whether a database did not answer when it was last asked."""
        return database in self._ask_at

    def may_ask(self, database: str) -> bool:
        """Return whether the caller is to ask a database now: one that is away is asked by one at a time."""
        if database not in self._ask_at:
            return True
        with self._lock:
            ask_at, now = self._ask_at.get(database), time.monotonic()
            if ask_at is None:
                return True
            if now < ask_at:
                return False
            self._ask_at[database] = now + self.hold_seconds
            return True

    def gone(self, database: str) -> bool:
        """Take note that a database does not answer; return whether that is news."""
        with self._lock:
            is_news = database not in self._ask_at
            self._ask_at[database] = time.monotonic() + RETRY_SECONDS
            return is_news

    def back(self, database: str) -> bool:
        """Take note that a database answers; return whether that is news."""
        if database not in self._ask_at:
            return False
        with self._lock:
            return self._ask_at.pop(database, None) is not None
