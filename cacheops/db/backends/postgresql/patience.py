"""Connections that do not wait for a server which answers nobody (CACHEOPS_DATABASE_SILENCE).

A frozen server takes packets, and so does the host that it stands on: neither TCP nor a time limit of the server's own
ends the wait. A long statement looks the same from here. So whoever has waited for some seconds tries to connect anew:
a server that works takes another connection, or refuses it in words; then the statement is waited for on.
"""

import math
import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import pq
from psycopg.errors import ConnectionTimeout

from cacheops.conf import conf
from cacheops.regions.silence import silent_databases

TOLD_SECONDS = 0.5  # for which a statement is waited for while others have found the server silent
MIN_CONNECT_SECONDS = 2  # of libpq, which knows whole ones


class ServerSilent(psycopg.OperationalError):
    """The server answers nobody. What was sent may be done later: of a commit, the outcome is not known."""


class BoundConnection(psycopg.Connection[Any]):
    """A connection whose every wait for the server is bound; `patience` is in seconds, 0 for ever."""

    patience = 0.0

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a generator of the driver's to its end. Raise ServerSilent."""
        return super().wait(self._bound(gen) if self.patience else gen, *args, **kwargs)

    def _bound(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Pass on what a generator waits for; look at the clock where nothing has come for a while."""
        since = time.monotonic()
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready:
                    seconds = time.monotonic() - since
                    if self.is_silent(seconds):
                        self.pgconn.finish()
                        raise ServerSilent(f"The server has not answered for {time.monotonic() - since:.1f} s.")
                    if seconds > self.patience:
                        since = time.monotonic()  # it works on
                state = gen.send(ready)
        except StopIteration as done:
            return done.value

    def is_silent(self, seconds: float) -> bool:
        """Return whether to give up, after so many seconds without an answer."""
        return seconds > self.patience


class PatientConnection(BoundConnection):
    """A connection that waits for a server as long as that answers somebody."""

    alias = ""

    def is_silent(self, seconds: float) -> bool:
        if silent_databases.is_silent(self.alias):
            return seconds > TOLD_SECONDS
        if seconds <= self.patience or answers(self.pgconn, self.patience):
            return False
        silent_databases.gone(self.alias)
        return True


def answers(pgconn: pq.abc.PGconn, seconds: float) -> bool:
    """Return whether the server behind a connection answers a new one within some seconds, be it by a refusal."""
    own: dict[str, Any] = {option.keyword.decode(): option.val.decode() for option in pgconn.info if option.val}
    own["target_session_attrs"] = "any"
    own.setdefault("connect_timeout", str(max(MIN_CONNECT_SECONDS, math.ceil(seconds))))
    try:
        with BoundConnection.connect(**own, autocommit=True) as other:
            other.patience = seconds
            other.execute("SELECT 1")  # behind a pooler, nothing else reaches the server
    except ServerSilent:
        return False
    except psycopg.OperationalError as error:
        return "FATAL" in str(error)  # the server's words; without them nobody has answered
    return True


class PatientWrapper:
    """Mixed into a DatabaseWrapper of PostgreSQL, before Django's."""

    alias: str

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if not silent_databases.may_ask(self.alias):
            raise ServerSilent("The server did not answer lately; another caller tries to connect.")
        try:
            connection: Any = super().get_new_connection(conn_params)
        except ConnectionTimeout:
            if conf.database_silence:
                silent_databases.gone(self.alias)
            raise
        connection.__class__ = PatientConnection  # Django, and its pool, have made it
        connection.alias, connection.patience = self.alias, conf.database_silence
        return connection

    def init_connection_state(self) -> None:
        super().init_connection_state()
        silent_databases.back(self.alias)
