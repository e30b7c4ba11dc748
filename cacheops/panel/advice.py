"""What to do about a model's caching, in plain words, from what was counted."""

from dataclasses import dataclass

from cacheops.monitoring.formats import lifetime, share
from cacheops.monitoring.stats import Reads, Writes

ENOUGH_READS = 50  # fewer say nothing
ENOUGH_SAMPLE = 5  # entries that were followed to their end
GOOD_RATE = 0.9
MAX_UNUSED = 0.5  # of entries: more of them were filled in vain
MAX_WARMED = 2  # fills a miss: where there are more, warming has filled most entries
OWN_LIFETIME = 86_400.0  # seconds that entries are taken to live where each has a lifetime of its own
CLEAR_CAUSE = 0.5  # of the misses: what causes so many is the cause


@dataclass(frozen=True, slots=True)
class Advice:
    """`severity` says how urgent it is: poor, fair, good, none. `why` has the numbers."""

    text: str
    why: str
    severity: str


COLD = "Cold start"
NOT_CACHED = Advice("Not cached", "Its profile is None: reads and writes pass by.", "none")


def advise(
    reads: Reads, writes: Writes, timeout: float | None, entries: int | None = None, read_for: float | None = None
) -> Advice:
    """Return the most useful thing that can be said of a model.

    `timeout` is its profile's, None where each entry may have another; `entries` are those that stand now, None where
    nobody counted; `read_for` is for how many seconds its reads have been counted, None for long.
    """
    if reads.total < ENOUGH_READS:
        return Advice("Too few reads to say", f"{reads.total:,} reads; {ENOUGH_READS} are needed.", "none")
    rate = reads.hit_rate or 0.0
    return (
        _unfit(reads)
        or _bypassed(reads)
        or _good(reads, rate)
        or _cold(timeout, read_for)
        or _useless(reads, writes, rate)
        or _never_asked_again(reads, rate, entries)
        or _cause(reads, writes, rate, timeout)
    )


def _unfit(reads: Reads) -> Advice | None:
    """Results that no entry can hold."""
    unfit = reads.too_large + reads.unencodable
    if unfit <= CLEAR_CAUSE * reads.misses or not unfit:
        return None
    if reads.too_large >= reads.unencodable:
        why = f"{reads.too_large:,} results are above CACHEOPS_MAX_ENTRY_BYTES."
        return Advice("Narrow the condition", f"{why} Read fewer rows or columns at a time.", "poor")
    why = f"{reads.unencodable:,} results hold values that an entry can't."
    return Advice("Do not cache", why, "poor")


def _cold(timeout: float | None, read_for: float | None) -> Advice | None:
    """Reads of less than an entry's lifetime: most misses are of what nobody had read before."""
    lives = OWN_LIFETIME if timeout is None else timeout
    if read_for is None or read_for >= lives:
        return None
    why = f"Counted for {lifetime(read_for)} of an entry's {lifetime(lives)}: a row's first read is a miss."
    return Advice(COLD, why, "none")


def _useless(reads: Reads, writes: Writes, rate: float) -> Advice | None:
    """Entries that are invalidated before anybody reads them."""
    unused = reads.unused_share
    if unused is None or unused < MAX_UNUSED or reads.sampled_fills < ENOUGH_SAMPLE or rate >= CLEAR_CAUSE:
        return None
    why = (
        f"{share(unused)} of its entries ended before their first hit; "
        f"{writes.writes:,} writes to {reads.total:,} reads."
    )
    if _mostly_whole(writes):
        return Advice("Narrow the condition", f"{why} {_whole(writes)}", "poor")
    return Advice("Do not cache", why, "poor")


def _bypassed(reads: Reads) -> Advice | None:
    if reads.bypasses < CLEAR_CAUSE * reads.total:
        return None
    past = share(reads.bypasses / reads.total)
    why = f"{past} of the reads went past the cache: a pause, a writer that takes long, or a region away."
    return Advice("See why it is bypassed", why, "poor")


def _good(reads: Reads, rate: float) -> Advice | None:
    if rate < GOOD_RATE:
        return None
    return Advice("Leave it as it is", f"{share(rate)} of {reads.total:,} reads are hits.", "good")


def _never_asked_again(reads: Reads, rate: float, entries: int | None) -> Advice | None:
    """Entries that are there, and that no reader asks for: each query is another, so no TTL helps."""
    if entries is None or rate >= CLEAR_CAUSE or reads.fills < ENOUGH_READS or entries < CLEAR_CAUSE * reads.fills:
        return None
    if reads.fills > MAX_WARMED * reads.misses:  # readers have not made them: what warming fills may wait for them
        return None
    why = (
        f"{entries:,} of {reads.fills:,} entries are still there, and hardly anybody asked for one again: each "
        "read has another condition, such as the present moment."
    )
    return Advice("Do not cache, or ask alike", why, "poor")


def _cause(reads: Reads, writes: Writes, rate: float, timeout: float | None) -> Advice:
    """Say what most misses come from."""
    severity = "fair" if rate >= CLEAR_CAUSE else "poor"
    missed = reads.absent + reads.outdated
    if missed and reads.outdated >= CLEAR_CAUSE * missed:
        why = f"{share(reads.outdated / missed)} of the misses found an entry that a write had outdated."
        return Advice("Narrow the condition", f"{why} {_whole(writes)}".strip(), severity)
    if missed:
        absent = share(reads.absent / missed)
        after = "" if timeout is None else f" (after {timeout:g} s)"
        why = f"{absent} of the misses found no entry: expired{after}, or never read before."
        return Advice("Raise the TTL", why, severity)
    why = f"{share(rate)} of {reads.total:,} reads are hits, and no single cause of the misses stands out."
    return Advice("Watch it", why, severity)


def _mostly_whole(writes: Writes) -> bool:
    return writes.writes > 0 and writes.whole >= CLEAR_CAUSE * writes.writes


def _whole(writes: Writes) -> str:
    if not _mostly_whole(writes):
        return ""
    return (
        f"{writes.whole:,} of {writes.writes:,} writes invalidated the whole table: raw SQL, or too many rows at once."
    )
