"""Databases that do not answer. Where CACHEOPS_WHEN_DATABASE_AWAY is "serve", what a region holds is served on.

A region's entries are used once its outbox is drained, and that lies in the database. While the database is away it is
asked about once a second by one caller, and the others go on without: what they are served may lack a write of which
this region could not be sent the invalidation. It lives for its timeout at most, as nothing is filled meanwhile.
"""

import logging

from django.db import Error, InterfaceError, OperationalError, connections

from cacheops.conf import conf
from cacheops.engine import register_component
from cacheops.instrumentation import request_stats
from cacheops.regions.turns import Turns

logger = logging.getLogger("cacheops")

TURN_SECONDS = 3.0  # for which one caller's attempt, which has not ended, keeps the others from trying

# SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) of a server that ends, starts, is full, has
# ended an idle session, or takes no writes: a fail-over has left it behind.
CONNECTION_CLASS = "08"
AWAY_STATES = ("57P01", "57P02", "57P03", "57P05", "53100", "53300", "25006")


def is_away(error: BaseException) -> bool:
    """Return whether a database's error is that it can't do its part, rather than what is wrong with a statement."""
    cause = error.__cause__
    if not isinstance(error, Error) or cause is None:
        return False
    if type(cause).__module__.startswith("sqlite3"):  # in this process
        return False
    state: str | None = getattr(cause, "sqlstate", None)
    if state is None:  # the driver's own: no connection, or one that was lost
        return isinstance(error, OperationalError | InterfaceError)
    return state.startswith(CONNECTION_CLASS) or state in AWAY_STATES


class AwayDatabases(Turns):
    """The databases without which readers go on until they answer."""

    hold_seconds = TURN_SECONDS

    def is_served_without(self, database: str, error: BaseException) -> bool:
        """Return whether readers go on without a database that has answered with this error; take note of it.

        Within a transaction they don't: it is lost.
        """
        connection = connections[database]
        if conf.when_database_away != "serve" or not is_away(error) or connection.in_atomic_block:
            return False
        connection.close_if_unusable_or_obsolete()  # the next query of this thread makes a new one
        if self.gone(database):
            logger.warning("Database %s does not answer; the cache serves what it holds: %s", database, error)
        return True

    def answered(self, database: str) -> None:
        """Take note that a database was reached."""
        if self.back(database):
            logger.warning("Database %s answers again.", database)


away_databases = register_component(AwayDatabases())


def count_unchecked() -> None:
    """Count a read, for the request that it belongs to, that was answered while its database was away."""
    request_stats.count(unchecked=1)
