"""Databases that answer nobody: a server that is frozen, or behind a link that swallows everything.

Each connection finds out for itself, which takes seconds. So what one of this process has found counts for all: one
caller tries to connect, once in RETRY_SECONDS, and the others are refused at once.
"""

import threading
import time

from cacheops.engine import Component, register_component

RETRY_SECONDS = 1.0  # between two attempts of a process to connect
NEWS_SECONDS = 5.0  # for which it counts that somebody has found a database silent: an attempt takes 2 or 3


class SilentDatabases(Component):
    """The databases of this process that were silent when they were last asked, by alias. Shared by all threads."""

    def __init__(self) -> None:
        self._found_at: dict[str, float] = {}  # monotonic
        self._retry_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def settings_changed(self) -> None:
        self._found_at.clear()
        self._retry_at.clear()

    def found(self, database: str) -> None:
        """Take note that a database answers nobody."""
        with self._lock:
            self._found_at[database] = time.monotonic()
            self._retry_at[database] = self._found_at[database] + RETRY_SECONDS

    def answered(self, database: str) -> None:
        """Take note that a database has taken a new connection."""
        if database in self._found_at:
            with self._lock:
                self._found_at.pop(database, None)
                self._retry_at.pop(database, None)

    def is_silent(self, database: str) -> bool:
        """Return whether somebody has found a database silent, lately."""
        return self._found_at.get(database, -NEWS_SECONDS) > time.monotonic() - NEWS_SECONDS

    def is_unheard(self, database: str) -> bool:
        """Return whether a database was found silent, and has taken no connection since."""
        return database in self._found_at

    def may_connect(self, database: str) -> bool:
        """Return whether the caller is to try to connect: to one that is silent it is one caller at a time."""
        if database not in self._found_at:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._retry_at.get(database, 0.0):
                return False
            self._retry_at[database] = now + RETRY_SECONDS
            return True


silent_databases = register_component(SilentDatabases())
