"""The account of a run: what was acknowledged against what the database holds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from xyzsite.demo.load.fleet import Posted

Row = tuple[int, datetime, float]  # a stored reading: device's id, moment, value


@dataclass(frozen=True)
class Account:
    """How many readings came to what. A run is right when `lost`, `doubled` and `wrong` are 0."""

    acknowledged: int
    stored: int  # of the acknowledged ones
    lost: int  # acknowledged and not there
    doubled: int  # there more than once
    wrong: int  # there with another value than was sent, or never sent
    unanswered: int  # there, though the sender heard nothing: it would have sent them again

    @property
    def right(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


def account_of(posted: Posted, rows: Iterable[Row]) -> Account:
    """Return the account of what the fleet posted and the database holds."""
    found = list(rows)
    times = Counter((device, moment) for device, moment, _ in found)
    return Account(
        acknowledged=len(posted.acknowledged),
        stored=len(posted.acknowledged.keys() & times.keys()),
        lost=len(posted.acknowledged.keys() - times.keys()),
        doubled=sum(count - 1 for count in times.values()),
        wrong=sum(posted.sent.get((device, moment)) != value for device, moment, value in found),
        unanswered=len(times.keys() - posted.acknowledged.keys()),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least value that `percent` of the values do not exceed (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def latencies(seconds: Sequence[float]) -> str:
    """Return the usual percentiles as text, in milliseconds."""
    shown = [f"p{percent} {percentile(seconds, percent) * 1000:.1f} ms" for percent in (50, 95, 99)]
    return ", ".join(shown)
