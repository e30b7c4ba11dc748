"""Children of a process that has collected the tests, each of which begins where the one before it began."""

import os
import signal
import traceback
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

PASSED, FAILED, UNFIT, BROKEN = 0, 1, 3, 4  # how a child ends: its tests, or what runs them


def in_child(work: Callable[[], int], seconds: int = 0) -> int:
    """Return how a child ends that works, and is killed after some seconds: less than 0 where a signal has ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = BROKEN
    told = os.dup(2)
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        signal.alarm(seconds)
        code = work()
    except Exception:  # of this machinery itself
        os.write(told, traceback.format_exc().encode())
        raise
    finally:  # whatever it raises: the child ends here
        os._exit(code)


class Ground:
    """What children begin with: a database, and what else one test has left of the session's fixtures."""

    def __init__(self, session: pytest.Session) -> None:
        from django.db import connections

        self._config = session.config
        in_database = next(item for item in session.items if item.get_closest_marker("django_db"))
        session.config.pluginmanager.register(self)
        self._run_one(in_database, session.items[-1])
        connections.close_all()  # to servers; of SQLite, in memory, it does nothing
        self._state = session._setupstate
        self._left = {node: len(finalizers) for node, (finalizers, _) in self._state.stack.items()}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._passes &= not report.failed

    def _run_one(self, item: pytest.Item, following: pytest.Item) -> bool:
        """Return whether it passes, under all that pytest does around a test: its filters of warnings, too."""
        self._passes = True
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        return self._passes

    def run(self, items: Sequence[pytest.Item], seen: Callable[[pytest.Item, bool], bool]) -> None:
        """Run tests, and tell how each went, as long as `seen` says to go on; leave nothing of them, nor less."""
        for item, following in zip(items, [*items[1:], items[-1]], strict=True):
            if not seen(item, self._run_one(item, following)):
                break
        self._state.teardown_exact(SimpleNamespace(listchain=lambda: [*self._left]))  # type: ignore[arg-type]
        for node, length in reversed(self._left.items()):
            finalizers, _ = self._state.stack[node]
            while len(finalizers) > length:
                finalizers.pop()()

    def mend(self) -> None:
        """Remove what a child has committed that was killed before it could do so itself."""
        in_child(self._empty_databases)

    def _empty_databases(self) -> int:
        from django.db import connections
        from pytest_django.plugin import blocking_manager_key

        from tests.flushing import empty

        with self._config.stash[blocking_manager_key].unblock():
            for connection in connections.all():
                empty(connection)
        return PASSED
