"""Readers and writers in threads of their own, that stand still where a test says, until it lets them go on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from cacheops.regions import regions
from tests.waiting import until

LIMIT = 10.0  # seconds; whoever waits so long has failed


class Gate:
    """A point at which an actor waits. Open after the first passage."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self) -> None:
        """Called by the actor."""
        self._reached.set()
        assert self._opened.wait(LIMIT), "nobody has opened the gate"

    def wait(self) -> None:
        """Wait until the actor stands here."""
        assert self._reached.wait(LIMIT), "the actor has not come to the gate"

    def open(self) -> None:
        self._opened.set()


class Actor:
    """Runs a function in a thread. `result` waits for its end."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act
        self._result: Any = None
        self._error: BaseException | None = None
        self._backend: int | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            connection.ensure_connection()
            self._backend = connection.connection.info.backend_pid
            self._result = self._act()
        except BaseException as error:  # noqa: BLE001 - it is raised in the test
            self._error = error
        finally:
            connection.close()
            for region in regions:
                region.store.close()  # this thread's sockets, or Python warns of them

    @property
    def is_done(self) -> bool:
        """Return whether the function has come to its end."""
        return not self._thread.is_alive()

    def result(self) -> Any:
        """Return what the function returned; raise what it raised."""
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), "the actor has not come to its end"
        if self._error is not None:
            raise self._error
        return self._result

    def error(self) -> BaseException | None:
        """Return what the function raised."""
        self._thread.join(LIMIT)
        return self._error

    def wait_locked(self) -> None:
        """Wait until the actor's statement waits for another's row lock."""

        def locked() -> bool:
            with connection.cursor() as cursor:
                cursor.execute("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", [self._backend])
                return cursor.fetchone() == ("Lock",)

        until(locked, "the actor waits for a lock")


@contextmanager
def at_select(*, before: Gate | None = None, after: Gate | None = None) -> Iterator[None]:
    """Stand still before or after this thread's next SELECT: between lease and load, or between load and fill."""
    gates = [before, after]

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith("SELECT"):
            return execute(sql, params, many, context)
        first, second = gates
        gates[:] = [None, None]
        if first:
            first()
        answer = execute(sql, params, many, context)
        if second:
            second()
        return answer

    with connection.execute_wrapper(wrapper):
        yield


def at_commit(*, before: Callable[[], None] | None = None, after: Callable[[], None] | None = None) -> None:
    """Do something around this thread's next COMMIT: after the marks, or before they are cleared."""
    connection.ensure_connection()
    driver = connection.connection
    commit = driver.commit

    def wrapped() -> None:
        driver.commit = commit
        if before:
            before()
        commit()
        if after:
            after()

    driver.commit = wrapped


def write_unseen(name: str, *tables: str) -> None:
    """Commit what a writer would have that could not reach the region: the row, and the tables in the queue."""
    settings = connection.get_connection_params()
    names = {name: settings[name] for name in ("host", "port", "user", "dbname") if name in settings}
    with psycopg.connect(**names) as other:
        other.execute("UPDATE testapp_book SET title = %s WHERE id = 1", [name])
        for table in tables:
            other.execute(
                'INSERT INTO cacheops_queuedinvalidation (region, "table", created_at) VALUES (%s, %s, now())',
                [regions.local.name, table],
            )
