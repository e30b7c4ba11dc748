"""What differs between two runs of one suite."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

COUNTED = re.compile(r"AssertionError: (\d+) != (\d+) : \d+ quer(?:y|ies) executed, \d+ expected")
RAISED = re.compile(r"[\w.]*(?:Error|Exception|DoesNotExist|Warning|Refused|Sentinel)\b.*")


class Run:
    """What came of each test: passed, failed or skipped, with its last lines."""

    def __init__(self, outcomes: Mapping[str, Sequence[str]]) -> None:
        self.outcomes = {test: (outcome, text) for test, (outcome, text) in outcomes.items()}

    def outcome(self, test: str) -> str:
        return self.outcomes.get(test, ("not run", ""))[0]

    def summary(self) -> str:
        counts = Counter(outcome for outcome, _ in self.outcomes.values())
        return ", ".join(f"{counts[name]:,} {name}" for name in ("passed", "failed", "skipped"))

    def counted(self, test: str) -> str:
        """Return how many queries a failed test counted, and expected; "" where it failed by something else."""
        found = COUNTED.search(self.outcomes.get(test, ("", ""))[1])
        return f"{found[1]} queries, {found[2]} expected" if found else ""

    def why(self, test: str) -> str:
        """Return the line that says why a test failed."""
        lines = self.outcomes.get(test, ("", ""))[1].strip().splitlines() or [""]
        raised = [line for line in lines if RAISED.match(line)]
        return self.counted(test) or (raised or lines)[-1][:200]


@dataclass
class Comparison:
    """Two runs of one suite: without the cache, and with it."""

    control: Run
    cached: Run

    @cached_property
    def different(self) -> list[str]:
        tests = sorted(self.control.outcomes.keys() | self.cached.outcomes.keys())
        return [test for test in tests if self.control.outcome(test) != self.cached.outcome(test)]

    @property
    def counted(self) -> list[str]:
        return [test for test in self.different if self.cached.counted(test)]

    @property
    def others(self) -> list[str]:
        return [test for test in self.different if not self.cached.counted(test)]

    def report(self, title: str) -> str:
        lines = [
            f"== {title}",
            f"   Django's engine: {self.control.summary()}",
            f"   ours, cached:    {self.cached.summary()}",
            f"   {len(self.counted)} differ by counted queries, {len(self.others)} otherwise.",
        ]
        for kind, tests in (("counted", self.counted), ("DIFFERS", self.others)):
            for test in tests:
                outcomes = f"{self.control.outcome(test)}, then {self.cached.outcome(test)}"
                lines.append(f"   {kind}  {test}: {outcomes}. {self.cached.why(test)}")
        return "\n".join(lines) + "\n"


def listed(title: str, found: Run) -> str:
    """Return what failed in a run without a control, by reason."""
    failed = sorted((found.why(test), test) for test in found.outcomes if found.outcome(test) == "failed")
    lines = [f"== {title}", f"   {found.summary()}", *(f"   failed  {test}: {why}" for why, test in failed)]
    return "\n".join(lines) + "\n"
