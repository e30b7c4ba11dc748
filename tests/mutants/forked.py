"""Try mutants in children of a process that has collected the tests: each costs what its tests take, and no start."""

import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType

import coverage
import pytest
from _pytest.runner import runtestprotocol

from tests.mutants.places import ROOT, SOURCES, Mutant

MIN_SECONDS = 20  # that a mutant's tests have; one that hangs counts as killed
MOST_FAILING = 5  # tests that may fail in a first run: of more, the machine or the code is to blame
SLOWER = 10  # times as long as in the first run may they take: others use the machine, too
PASSED, FAILED, UNFIT = 0, 1, 3  # how a child ends

Key = tuple[str, int]  # of a function in its file: qualified name, first line


def codes_in(code: CodeType) -> Iterator[tuple[Key, CodeType]]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield (inner.co_qualname, inner.co_firstlineno), inner
            yield from codes_in(inner)


def put(mutant: Mutant) -> None:
    """Give the functions of the mutant's file the code that they have in it. Raise ValueError where that can't be."""
    path = str(ROOT / mutant.path)
    mutated = dict(codes_in(compile(mutant.apply(Path(path).read_text()), path, "exec", dont_inherit=True)))
    for found in gc.get_objects():
        if isinstance(found, FunctionType) and found.__code__.co_filename == path:
            key = (found.__code__.co_qualname, found.__code__.co_firstlineno)
            if key in mutated and mutated[key] != found.__code__:
                found.__code__ = mutated[key]


def in_child(work: Callable[[], int], seconds: int = 0) -> int:
    """Return how a child ends that works, and is killed after some seconds."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = FAILED
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        signal.alarm(seconds)
        code = work()
    finally:  # whatever it raises: the child ends here
        os._exit(code)


def run(items: Sequence[pytest.Item], seen: Callable[[pytest.Item, bool], bool]) -> None:
    """Run tests, and tell how each went, as long as `seen` says to go on."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        reports = runtestprotocol(item, nextitem=following, log=False)
        if not seen(item, not any(report.failed for report in reports)):
            return


class ForkedTrial:
    """A pytest plugin: in place of running all tests, tries each mutant by those that run its lines."""

    def __init__(self, mutants: Sequence[Mutant], until: float, tell: Callable[[Mutant, str], None]) -> None:
        self._mutants, self._until, self._tell = mutants, until, tell
        self._seconds: dict[str, float] = {}  # by a test's id
        self._data = coverage.CoverageData(basename=tempfile.mkstemp(prefix="mutants-")[1])
        self._contexts = cache(lambda path: self._data.contexts_by_lineno(str(ROOT / path)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = session.items
        in_database = next(item for item in items if item.get_closest_marker("django_db"))
        run([in_database, items[-1]], lambda item, passes: False)  # makes the database, which children have a copy of
        seconds = Path(f"{self._data.data_filename()}.json")
        in_child(lambda: self._measure(items, seconds))
        self._seconds, failing = json.loads(seconds.read_text())
        if len(failing) > MOST_FAILING:
            pytest.exit(f"{', '.join(failing)} fail where nothing is broken.", 1)
        for name in failing:  # it kills nothing, and hides nothing else
            sys.stderr.write(f"left out   {name}: fails where nothing is broken\n")
            del self._seconds[name]
        self._data.read()
        for mutant in self._mutants:
            if time.monotonic() > self._until:
                break
            self._tell(mutant, self._outcome(mutant, self._tests_of(mutant, items)))
        return True

    def _measure(self, items: Sequence[pytest.Item], path: Path) -> int:
        """Note which lines each test runs, and for how long; and which tests fail."""
        include = [str(ROOT / source / ("" if source.endswith(".py") else "*")) for source in SOURCES]
        measured = coverage.Coverage(data_file=self._data.data_filename(), include=include, config_file=False)
        measured.set_option("run:core", "ctrace")
        seconds: dict[str, float] = {}
        failing: list[str] = []
        following = dict(zip(items, [*items[1:], items[-1]], strict=True))
        began = time.monotonic()

        def seen(item: pytest.Item, passes: bool) -> bool:
            nonlocal began
            seconds[item.nodeid], began = time.monotonic() - began, time.monotonic()
            failing.extend([] if passes else [item.nodeid])
            measured.switch_context(following[item].nodeid)
            return len(failing) <= MOST_FAILING

        measured.start()
        measured.switch_context(items[0].nodeid)
        run(items, seen)
        measured.stop()
        measured.save()
        path.write_text(json.dumps((seconds, failing)))
        return PASSED

    def _tests_of(self, mutant: Mutant, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Return the tests that run one of a mutant's lines: those of its folder first, then the quick ones."""
        lines = self._contexts(mutant.path)
        ids = {name for line in range(mutant.line, mutant.end_line + 1) for name in lines.get(line, ())}
        near = f"tests/{mutant.path.parent}"
        chosen = [item for item in items if item.nodeid in ids and item.nodeid in self._seconds]
        return sorted(chosen, key=lambda item: (not item.nodeid.startswith(near), self._seconds[item.nodeid]))

    def _outcome(self, mutant: Mutant, tests: list[pytest.Item]) -> str:
        if not tests:
            return "not run"
        limit = MIN_SECONDS + int(SLOWER * sum(self._seconds[item.nodeid] for item in tests))
        status = in_child(lambda: self._try(mutant, tests), limit)
        return {PASSED: "survived", UNFIT: "not tried"}.get(os.waitstatus_to_exitcode(status), "killed")

    def _try(self, mutant: Mutant, tests: list[pytest.Item]) -> int:
        try:
            put(mutant)
        except ValueError:  # it refers to fewer names of the function around it
            return UNFIT
        all_pass = True

        def seen(item: pytest.Item, passes: bool) -> bool:
            nonlocal all_pass
            all_pass = passes
            return passes

        run(tests, seen)
        return PASSED if all_pass else FAILED
