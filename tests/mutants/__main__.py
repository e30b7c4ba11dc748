"""Break the code in one place at a time, and see whether a test fails: `make mutants`.

    python -m tests.mutants --seed 1 --sample 120 --minutes 60 --publish

Places are drawn by the seed from the engine and the access rules; of the Lua scripts a list made by hand (lua.py) is
drawn from in the same way. Each is tried by the tests that run its lines without servers, then by those that need
servers. What is found is kept in var/mutants: a run that was cut goes on. Of a survivor either a test is missing, or it
is explained (explained.py).
Why no library does it: docs/decisions/0034-mutants.md.
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from tests.mutants.explained import EXPLAINED
from tests.mutants.folders import folders_of, tests_without_servers
from tests.mutants.forked import ForkedTrial
from tests.mutants.kept import Kept, Outcome, place_of
from tests.mutants.lines import LinesOfTests
from tests.mutants.lua import lua_mutants
from tests.mutants.places import ROOT, Mutant, all_mutants, drawn

PAGE = ROOT / "docs" / "testing.md"
BEGIN, END = "<!-- mutants -->\n", "<!-- /mutants -->\n"
COLUMNS = ("killed", "survived", "explained", "not run", "not tried")  # not run: by any of the tests
NEVER = ["--ignore=tests/xyzsite/api/test_fuzz.py"]  # draws other examples each time
Outcomes = dict[Mutant, str]


def phase(kind: str, options: list[str], mutants: list[Mutant], until: float) -> Outcomes:
    """Try mutants, in children of one process that has collected some tests; return what is known of them."""
    kept = Kept(kind)
    known = kept.read()
    wanted = [mutant for mutant in mutants if place_of(mutant) not in known]

    def note(mutant: Mutant, outcome: Outcome) -> None:
        kept.add(mutant, outcome)
        sys.stderr.write(f"{outcome.name:9}  {mutant.line}  {mutant.name}  {outcome.by}\n")

    if wanted and not os.fork():  # Django is set up once in a process, and servers end with it
        where = folders_of if kind == "servers" else tests_without_servers
        tests = sorted({folder for mutant in wanted for folder in where(mutant.path)})
        lines = LinesOfTests(kept.map, {str(mutant.path) for mutant in wanted}, tests)
        plugin = ForkedTrial(wanted, until, note, lines, on_servers=kind == "servers")
        sys.exit(pytest.main(["-q", "-s", "-n", "0", "-p", "no:cacheprovider", *options, *tests], [plugin]))
    if wanted and os.wait()[1]:
        sys.exit(f"The tests of {kind} could not be run.")
    known = kept.read()
    return {mutant: known[place_of(mutant)].name for mutant in mutants if place_of(mutant) in known}


def tried(arguments: argparse.Namespace) -> Outcomes:
    until = time.monotonic() + arguments.minutes * 60
    lua = drawn(lua_mutants(arguments.only), arguments.lua, arguments.seed)
    sample = drawn(all_mutants(arguments.only), arguments.sample, arguments.seed)
    outcomes = phase("memory", ["--no-servers", *NEVER], sample, until)
    if not arguments.no_servers:
        alive = [*(mutant for mutant in sample if outcomes.get(mutant) != "killed"), *lua]
        on_servers = phase("servers", NEVER, alive, until)
        outcomes |= {mutant: found for mutant, found in on_servers.items() if found != "not run"}
        outcomes = {mutant: on_servers.get(mutant, "not tried") for mutant in alive} | outcomes
    for mutant, outcome in outcomes.items():
        if outcome != "killed" and mutant.name in EXPLAINED:
            outcomes[mutant] = "explained"
    return outcomes


def score(counts: Counter[str]) -> float:
    """Return the share of those killed, without those that are explained or were not tried."""
    return counts["killed"] / max(1, counts["killed"] + counts["survived"] + counts["not run"])


def package(mutant: Mutant) -> str:
    return "/".join(mutant.path.parts[:2]) if mutant.path.parent.parts[1:] else str(mutant.path.parts[0])


def report(outcomes: Outcomes, seed: int, population: int) -> Iterator[str]:
    """Yield the lines of the section: the score by package, then those that live."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, outcome in outcomes.items():
        counts["Lua scripts" if mutant.path.suffix == ".lua" else package(mutant)][outcome] += 1
    total = sum(counts.values(), Counter[str]())
    yield f"Seed {seed}, {len(outcomes)} of {population:,} mutants: **{score(total):.0%} killed**.\n\n"
    yield f"| package | {' | '.join(COLUMNS)} |\n|---{'|---:' * len(COLUMNS)}|\n"
    for name, found in (*sorted(counts.items()), ("all", total)):
        figures = " | ".join(str(found[outcome]) for outcome in COLUMNS)
        yield f"| {name} | {figures} |\n"
    for outcome in COLUMNS[1:]:
        names = sorted(mutant.name for mutant, one in outcomes.items() if one == outcome)
        if names:
            yield f"\n{outcome.capitalize()}:\n\n"
        for name in names:
            yield f"- `{name}`{': ' + EXPLAINED[name] if outcome == 'explained' else ''}\n"


def publish(lines: Iterator[str]) -> None:
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + BEGIN + "".join(lines) + END + rest.partition(END)[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=120, help="of Python's mutants")
    parser.add_argument("--lua", type=int, default=30, help="of the Lua scripts' mutants")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no further one after that")
    parser.add_argument("--only", default="", help="of files whose path begins so")
    parser.add_argument("--no-servers", action="store_true", help="by the tests that need none: faster, and fewer die")
    parser.add_argument("--publish", action="store_true", help="write the result into docs/testing.md")
    arguments = parser.parse_args()
    outcomes = tried(arguments)
    population = len(all_mutants(arguments.only)) + len(lua_mutants(arguments.only))
    lines = list(report(outcomes, arguments.seed, population))
    sys.stdout.writelines(lines)
    if arguments.publish:
        publish(iter(lines))


if __name__ == "__main__":
    main()
