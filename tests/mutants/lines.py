"""Which test runs which line, and which Lua script."""

import gc
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import coverage
import pytest

from tests.mutants.ground import PASSED, Ground, in_child
from tests.mutants.places import ROOT, Mutant

MOST_FAILING = 20  # tests that may fail in a first run: of more, the machine or the code is to blame


current: list[str] = []  # the id of the test that runs


def note_scripts(ran: dict[str, set[str]]) -> None:
    """Have each script note which test calls it, by its text. Each connection loads them all, which is no call."""
    from cacheops.stores import scripts

    def noted(name: str) -> property:  # comes before the instance's own value
        def value(script: scripts.Script) -> str:
            ran[script.__dict__["source"]].update(current)
            return str(script.__dict__[name])

        return property(value)

    for found in gc.get_objects():  # isinstance would wake lazy ones
        if type(found) is scripts.Script:
            name = "source" if found is scripts._PURGE_TAG else "digest"  # by which it is called
            found.__class__ = type("Noted", (scripts.Script,), {name: noted(name)})


class LinesOfTests:
    """Which test runs which line, each Lua script, and for how long. Measured once, and kept in a file."""

    def __init__(self, path: Path, sources: set[str], tests: Sequence[str]) -> None:
        """Begin with what is kept below a path. The fewer files of the code and of tests are asked, the quicker."""
        self._path, self._sources, self._tests = path, sources, tests
        self._results = path.with_suffix(".json")
        self._contexts = cache(lambda source: self._data.contexts_by_lineno(str(ROOT / source)))
        self.seconds: dict[str, float] = {}  # by a test's id
        self.failing: list[str] = []  # where nothing is broken
        self._scripts: dict[str, set[str]] = defaultdict(set)  # ids by a script's text

    def read(self, ground: Ground, items: Sequence[pytest.Item]) -> None:
        found = json.loads(self._results.read_text()) if self._results.exists() else {"sources": [], "tests": []}
        if not (self._sources.issubset(found["sources"]) and set(self._tests).issubset(found["tests"])):
            self._path.unlink(missing_ok=True)
            in_child(lambda: self._measure(ground, items))
            found = json.loads(self._results.read_text())
        self.seconds, self.failing = found["seconds"], found["failing"]
        self._scripts.update({source: set(ids) for source, ids in found["scripts"].items()})
        self._data = coverage.CoverageData(basename=str(self._path))
        self._data.read()

    def _measure(self, ground: Ground, items: Sequence[pytest.Item]) -> int:
        measured = coverage.Coverage(
            data_file=str(self._path), config_file=False, include=[str(ROOT / source) for source in self._sources]
        )
        measured.set_option("run:core", "ctrace")
        measured.set_option("run:disable_warnings", ["no-data-collected"])  # of Lua alone
        following = dict(zip(items, [*items[1:], items[-1]], strict=True))
        note_scripts(self._scripts)
        began = time.monotonic()

        def switch(item: pytest.Item) -> None:
            measured.switch_context(item.nodeid)
            current[:] = [item.nodeid]

        def seen(item: pytest.Item, passes: bool) -> bool:
            nonlocal began
            self.seconds[item.nodeid], began = time.monotonic() - began, time.monotonic()
            self.failing.extend([] if passes else [item.nodeid])
            switch(following[item])
            return len(self.failing) <= MOST_FAILING

        measured.start()
        switch(items[0])
        ground.run(items, seen)
        measured.stop()
        measured.save()
        found = {
            "sources": sorted(self._sources),
            "tests": self._tests,
            "seconds": self.seconds,
            "failing": self.failing,
        }
        found["scripts"] = {source: sorted(ids) for source, ids in self._scripts.items()}
        self._results.write_text(json.dumps(found))
        return PASSED

    def tests_of(self, mutant: Mutant) -> set[str]:
        """Return the ids of those that run one of a mutant's lines."""
        if mutant.path.suffix == ".lua":
            text = (ROOT / mutant.path).read_text()
            return {name for source, ids in self._scripts.items() if text in source for name in ids}
        lines = self._contexts(mutant.path)
        return {name for line in range(mutant.line, mutant.end_line + 1) for name in lines.get(line, ())}
