"""A histogram of durations in fixed buckets, so that those of many processes and minutes add up.

Buckets are log-linear, as in HdrHistogram (Tene, 2012): each doubling of the duration is cut into 8 equal buckets. A
bucket's middle is at most 1/16 (6.25 %) away from any duration in it; a percentile has that error at most,
from 1 µs to 64 s. What is shorter counts as about 1 µs, what is longer as about 64 s.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Self

STEPS = 8  # buckets a doubling
MIN_EXPONENT, MAX_EXPONENT = -20, 6  # of two: 0.95 µs, 64 s
BUCKETS = (MAX_EXPONENT - MIN_EXPONENT) * STEPS
ERROR = 1 / (2 * STEPS)  # of a percentile, relative


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration, from 0 to BUCKETS - 1."""
    return bisect_right(_BOUNDS, seconds)


def lower_bound(bucket: int) -> float:
    """Return the least duration of a bucket, in seconds."""
    doublings, step = divmod(bucket, STEPS)
    return float(2.0 ** (MIN_EXPONENT + doublings) * (1 + step / STEPS))


_BOUNDS = [lower_bound(bucket) for bucket in range(1, BUCKETS)]  # between two buckets


def middle(bucket: int) -> float:
    return (lower_bound(bucket) + lower_bound(bucket + 1)) / 2


@dataclass(slots=True)
class Histogram:
    """How many durations fell into each bucket, and their sum in seconds."""

    counts: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bucket_of(seconds)] += 1
        self.seconds += seconds

    def merge(self, other: "Histogram") -> None:
        self.counts.update(other.counts)
        self.seconds += other.seconds

    @property
    def count(self) -> int:
        return self.counts.total()

    @property
    def mean(self) -> float | None:
        """The mean in seconds (exact), None where nothing was measured."""
        return self.seconds / self.count if self.counts else None

    def quantile(self, share: float) -> float | None:
        """Return the duration that `share` of all do not exceed (nearest rank), in seconds; None for no durations."""
        rank = max(1, ceil(share * self.count))
        passed = 0
        for bucket in sorted(self.counts):
            passed += self.counts[bucket]
            if passed >= rank:
                return middle(bucket)
        return None

    @property
    def p50(self) -> float | None:
        return self.quantile(0.50)

    @property
    def p95(self) -> float | None:
        return self.quantile(0.95)

    @property
    def p99(self) -> float | None:
        return self.quantile(0.99)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield for each doubling its upper bound in seconds, and how many durations lie below it."""
        passed = 0
        for start in range(0, BUCKETS, STEPS):
            passed += sum(self.counts[bucket] for bucket in range(start, start + STEPS))
            yield lower_bound(start + STEPS), passed

    # --- as counts that add up --------------------------------------------------------------------------------------

    def packed(self, name: str) -> dict[str, int]:
        """Return it as names and whole numbers: "NAME:BUCKET" -> durations, "NAME:us" -> their sum in microseconds."""
        found = {f"{name}:{bucket}": count for bucket, count in self.counts.items()}
        return {**found, f"{name}:us": round(self.seconds * 1e6)} if found else {}

    @classmethod
    def unpacked(cls, name: str, counts: Mapping[str, int]) -> Self:
        """Return the histogram that `packed` wrote under a name among other counts."""
        made, start = cls(), f"{name}:"
        for key, count in counts.items():
            if key.startswith(start):
                place = key[len(start) :]
                if place == "us":
                    made.seconds = count / 1e6
                else:
                    made.counts[int(place)] = count
        return made

    @classmethod
    def of(cls, durations: Collection[float]) -> Self:
        return cls(Counter([bisect_right(_BOUNDS, seconds) for seconds in durations]), sum(durations))
