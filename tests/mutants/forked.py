"""Try mutants in children of a process that has collected the tests: each costs what its tests take, and no start."""

import gc
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutants.folders import folders_of
from tests.mutants.ground import FAILED, PASSED, UNFIT, Ground, in_child
from tests.mutants.kept import Outcome
from tests.mutants.lines import MOST_FAILING, LinesOfTests
from tests.mutants.places import ROOT, Mutant

MIN_SECONDS = 20  # that a mutant's tests have; one that hangs counts as killed
SLOWER = 10  # times as long as in the first run may they take: others use the machine, too
MOST_SECONDS = 60.0  # of the first run's time: the tests that a mutant is tried by
NEARER = 4  # times as quick as it is, a test of the mutant's folder counts: it comes before others

Key = tuple[str, int]  # of a function in its file: qualified name, first line


def codes_in(code: CodeType) -> Iterator[tuple[Key, CodeType]]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield (inner.co_qualname, inner.co_firstlineno), inner
            yield from codes_in(inner)


def put(mutant: Mutant) -> None:
    """Give the functions of the mutant's file the code that they have in it. Raise ValueError where that can't be."""
    from cacheops.engine import empty_memos

    path = str(ROOT / mutant.path)
    mutated = dict(codes_in(compile(mutant.apply(Path(path).read_text()), path, "exec", dont_inherit=True)))
    for found in gc.get_objects():  # isinstance would wake lazy ones
        if type(found) is FunctionType and found.__code__.co_filename == path:
            key = (found.__code__.co_qualname, found.__code__.co_firstlineno)
            if key in mutated and mutated[key] != found.__code__:
                found.__code__ = mutated[key]
    empty_memos()  # what was found by the code as it was would hide the mutant


def put_script(mutant: Mutant) -> None:
    """Give the Lua scripts that the mutant's file is a part of the text that they have in it."""
    from cacheops.redis.thread_transport import ThreadTransport
    from cacheops.stores.scripts import Script

    text = (ROOT / mutant.path).read_text()
    mutated = mutant.apply(text)
    for found in gc.get_objects():  # isinstance would wake lazy ones
        if type(found) is Script:
            found.source = found.source.replace(text, mutated)
            found.digest = hashlib.sha1(found.source.encode(), usedforsecurity=False).hexdigest()
        elif type(found) is ThreadTransport:
            found._scripts = [(*load, source.replace(text, mutated)) for *load, source in found._scripts]


def needs_servers(item: pytest.Item) -> bool:
    from tests.servers import ON_SERVERS  # pytest must be the first to import its plugins

    return bool(item.get_closest_marker("servers") or ON_SERVERS.intersection((item.path, *item.path.parents)))


class ForkedTrial:
    """A pytest plugin: in place of running all tests, tries each mutant by those that run its lines."""

    def __init__(
        self,
        mutants: Sequence[Mutant],
        until: float,
        tell: Callable[[Mutant, Outcome], None],
        lines: LinesOfTests,
        *,
        on_servers: bool,
    ) -> None:
        self._mutants, self._until, self._tell, self._on_servers = mutants, until, tell, on_servers
        self._lines = lines
        self._current = Path(tempfile.mkstemp(prefix="mutants-")[1])  # the test that a child is at

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what needs servers where there are none; on servers, what has been tried without."""
        items[:] = [item for item in items if needs_servers(item) == self._on_servers]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._ground = Ground(session)
        self._lines.read(self._ground, session.items)
        failing = self._lines.failing
        if len(failing) > MOST_FAILING:
            pytest.exit(f"{', '.join(failing)} fail where nothing is broken.", 1)
        for name in failing:  # it kills nothing, and hides nothing else
            self._leave_out(name)
        items = {item.nodeid: item for item in session.items}
        for mutant in self._mutants:
            if time.monotonic() > self._until:
                break
            self._tell(mutant, self._outcome(mutant, [items[name] for name in self._tests_of(mutant) if name in items]))
        self._current.unlink()
        return True

    def _leave_out(self, name: str) -> None:
        sys.stderr.write(f"left out   {name}: fails where nothing is broken\n")
        self._lines.seconds.pop(name, None)

    def _tests_of(self, mutant: Mutant) -> Iterator[str]:
        """Return the tests that run one of a mutant's lines: the quick ones first, and those of its folder.

        Those of one module stay together, since its servers start once then.
        """
        near, seconds = folders_of(mutant.path), self._lines.seconds
        chosen = [name for name in self._lines.tests_of(mutant) if name in seconds]
        left = MOST_SECONDS
        modules: dict[str, list[str]] = {}
        for name in sorted(chosen, key=lambda name: seconds[name] / (NEARER if name.startswith(near) else 1)):
            left -= seconds[name]
            if left > 0:
                modules.setdefault(name.partition("::")[0], []).append(name)
        return chain.from_iterable(modules.values())

    def _outcome(self, mutant: Mutant, tests: list[pytest.Item]) -> Outcome:
        while tests:
            limit = MIN_SECONDS + int(SLOWER * sum(self._lines.seconds[item.nodeid] for item in tests))
            status = self._in_child(tests, limit, mutant)
            if status >= 0 and status != FAILED:  # a signal ends what hangs
                return Outcome("survived" if status == PASSED else "not tried")
            failed = self._current.read_text()
            until = [item.nodeid for item in tests].index(failed) + 1
            unbroken = self._in_child(tests[:until], limit)
            if unbroken == PASSED:
                return Outcome("killed", failed)
            if unbroken < 0:  # the machine is too slow for them now, which says nothing of the test
                return Outcome("not tried")
            self._leave_out(failed)
            tests = [*tests[: until - 1], *tests[until:]]
        return Outcome("not run")

    def _in_child(self, tests: list[pytest.Item], limit: int, mutant: Mutant | None = None) -> int:
        """Return how a child ends that tries a mutant. Where it had to be killed, remove what it has left."""
        status = in_child(partial(self._try, tests, mutant), limit)
        if status < 0:
            self._ground.mend()
        return status

    def _try(self, tests: list[pytest.Item], mutant: Mutant | None = None) -> int:
        """Run tests in this child with a mutant, or with nothing broken."""
        self._current.write_text(tests[0].nodeid)
        try:
            if mutant:
                (put_script if mutant.path.suffix == ".lua" else put)(mutant)
        except ValueError:  # it refers to fewer names of the function around it
            return UNFIT
        all_pass = True
        following = dict(pairwise(tests))

        def seen(item: pytest.Item, passes: bool) -> bool:
            nonlocal all_pass
            all_pass = passes
            if passes and item in following:
                self._current.write_text(following[item].nodeid)
            return passes

        self._ground.run(tests, seen)
        return PASSED if all_pass else FAILED
