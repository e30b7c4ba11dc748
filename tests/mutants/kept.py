"""What earlier runs found, where it still holds: a run that was cut goes on, and survivors are tried by new tests.

A test that has killed a mutant does so again as long as its file and the mutated one stay as they are. A survivor is
tried again where anything has changed.
"""

import hashlib
import json
import subprocess
from functools import cache
from typing import NamedTuple

from tests.mutants.places import ROOT, Mutant

FOLDER = ROOT / "var" / "mutants"


class Outcome(NamedTuple):
    """How a mutant ended, and which test killed it."""

    name: str
    by: str = ""


@cache
def digest(path: str) -> str:
    file = ROOT / path
    return hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest()[:16]


@cache
def state() -> str:
    """Return what stands for the code and its tests as they are: what git knows, but not what tries mutants."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    python = [name for name in names if name.endswith((".py", ".lua", ".html")) and "tests/mutants/" not in name]
    return hashlib.sha256("".join(map(digest, python)).encode()).hexdigest()[:16]


class Kept:
    """The outcomes of trials by some tests, in a file to which each is added as it is known."""

    def __init__(self, kind: str) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._file = FOLDER / f"{kind}.jsonl"
        self.map = FOLDER / f"{kind}-{state()}"  # which test runs which line

    def read(self) -> dict[str, Outcome]:
        """Return what still holds, by the mutant's place."""
        found = {}
        for line in self._file.read_text().splitlines() if self._file.exists() else []:
            place, held, name, by = json.loads(line)
            found[place] = (held, Outcome(name, by))
        return {place: outcome for place, (held, outcome) in found.items() if held == holds(place, outcome)}

    def add(self, mutant: Mutant, outcome: Outcome) -> None:
        place = place_of(mutant)
        with self._file.open("a") as file:
            file.write(json.dumps([place, holds(place, outcome), *outcome]) + "\n")


def place_of(mutant: Mutant) -> str:
    return f"{mutant.path}:{mutant.line}:{mutant.column} {mutant.name}"


def holds(place: str, outcome: Outcome) -> str:
    """Return what must stay as it is for an outcome to hold."""
    if not outcome.by:
        return state()
    return digest(place.partition(":")[0]) + digest(outcome.by.partition("::")[0])
