"""Databases that answer nobody: a server that is frozen, or behind a link that swallows everything.

Each connection finds out for itself, which takes seconds. So what one of this process has found counts for all: one
caller tries to connect, once in RETRY_SECONDS, and the others are refused at once.
"""

import time

from cacheops.engine import register_component
from cacheops.regions.turns import Turns

NEWS_SECONDS = 5.0  # for which it counts that somebody has found a database silent: an attempt takes 2 or 3


class SilentDatabases(Turns):
    """The databases that were silent, until they take a new connection."""

    def __init__(self) -> None:
        super().__init__()
        self._found_at: dict[str, float] = {}  # monotonic

    def gone(self, database: str) -> bool:
        self._found_at[database] = time.monotonic()
        return super().gone(database)

    def is_silent(self, database: str) -> bool:
        """Return whether somebody has found a database silent lately, and it has taken no connection since."""
        return self.is_away(database) and self._found_at[database] > time.monotonic() - NEWS_SECONDS


silent_databases = register_component(SilentDatabases())
