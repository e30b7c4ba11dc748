"""What each caller of the platform has seen, and whether that was as promised (docs/reliability.md)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

GOOD = {200, 201, 202, 304}
MAX_LAG = 2.0  # seconds: CACHEOPS_MAX_LAG of the platform's settings
NO_TIME = float("-inf")


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer, with the monotonic seconds between which it came. `status` is 0 where none did."""

    who: str
    began: float
    ended: float
    status: int
    retry_after: bool = False
    unchecked: bool = False  # it said that the database is away
    stale: bool = False

    @property
    def kind(self) -> str:
        """Return the figure of the table in which it counts; "" for a good one."""
        if self.status in GOOD:
            return "stale" if self.stale else "unchecked" if self.unchecked else ""
        if self.status == 503 and self.retry_after:
            return "503"
        return "failed" if self.status else "no answer"


class Editions:
    """The numbers that a name has borne, in the order in which they were written.

    An edit that was not acknowledged may hold, now, later or never: whoever sees it sees nothing stale.
    """

    def __init__(self) -> None:
        self._acknowledged: list[tuple[float, int]] = [(NO_TIME, 0)]
        self._open: set[int] = set()

    def sent(self, number: int) -> None:
        self._open.add(number)

    def acknowledged(self, number: int, moment: float) -> None:
        self._acknowledged.append((moment, number))
        self._open.discard(number)

    def is_stale(self, shown: int, moment: float) -> bool:
        """Return whether a number is older than what was acknowledged at a moment."""
        newest = next(number for when, number in reversed(self._acknowledged) if when <= moment)
        return shown < newest and shown not in self._open


@dataclass
class Row:
    """What became of the load under one fault."""

    fault: str
    requests: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # by Seen.kind
    acknowledged: int = 0  # readings
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0  # until all was well again, of the slowest step

    def add(self, seen: Sequence[Seen]) -> None:
        self.requests += len(seen)
        self.counts += Counter(kind for one in seen if (kind := one.kind))

    def broken(self, allowed: frozenset[str]) -> list[str]:
        """Return what the text does not allow."""
        found = {**self.counts, "lost": self.lost, "doubled": self.doubled}
        return [what for what, count in found.items() if count and what not in allowed | {"unchecked"}]


def seconds_to_recover(seen: Sequence[Seen], since: float) -> float:
    """Return the seconds from a moment to the end of the last answer that was not good; 0 where none was."""
    ends = [one.ended for one in seen if one.status not in GOOD and one.ended >= since]
    return max(ends, default=since) - since
