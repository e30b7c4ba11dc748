"""What a warming run did, kept for a month in each region that it reached; and where an interrupted one stopped.

Both lie where the entries lie: a region that has lost its cache has nothing to resume, and any machine can resume.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from django.core.cache import caches

from cacheops.conf import conf
from cacheops.instrumentation.counters import counters

RUNS_KEPT = 50  # of a region
RUN_SECONDS = 30 * 86400
CHECKPOINT_SECONDS = 86400  # what was filled before has run out by then, most of it

T = TypeVar("T")


@dataclass(slots=True)
class Outcome:
    """What happened to one region's entries. Of a dry run, `warmed` is what would be."""

    warmed: int = 0
    already_warm: int = 0  # a valid entry in the first half of its life
    # A writer was about to change them, they are too large, can't be cached; or the region's own replica is behind.
    skipped: int = 0
    failed: int = 0  # the region did not answer, or refused
    bytes: int = 0
    error: str = ""  # the last one; or why nothing was asked of the region

    @property
    def total(self) -> int:
        return self.warmed + self.already_warm + self.skipped + self.failed


@dataclass(slots=True)
class WarmingRun:
    """One run. `started_at` in seconds since the epoch; `source` is the alias that rows were last loaded from."""

    started_at: float
    targets: tuple[str, ...]
    scope: str  # what was chosen: "top 1000", "since …", "all"
    status: str = "running"  # then "done", "failed" (some entries), "interrupted"
    seconds: float = 0.0
    source: str = ""
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by region


@dataclass(slots=True)
class Checkpoint:
    """Where a run is: how many targets are finished, and the keys done of the next one."""

    targets: tuple[str, ...]
    scope: str
    regions: tuple[str, ...]
    saved_at: float = 0.0
    target: int = 0
    hot_done: int = 0  # of the target's list of hot keys, which is kept as it was
    hot: list[Any] | None = None
    others_done: int = 0  # rows after these
    last: Any = None  # the last one of them, in the order of the keys

    def next_target(self) -> None:
        self.target += 1
        self.hot_done, self.others_done, self.hot, self.last = 0, 0, None, None

    def matches(self, targets: Sequence[str], scope: str, regions: Sequence[str]) -> bool:
        return (self.targets, self.scope, self.regions) == (tuple(targets), scope, tuple(regions))


def record_run(run: WarmingRun) -> None:
    """Keep a finished run in each region that answers, and count it."""
    for region in run.outcomes:
        kept = [run, *recent_runs(region)][:RUNS_KEPT]
        caches[region].set(_key("runs"), msgspec.json.encode(kept).decode(), RUN_SECONDS)
    sums = {name: sum(getattr(one, name) for one in run.outcomes.values()) for name in ("warmed", "failed", "bytes")}
    counters.event("warming", runs=1, **sums)


def recent_runs(region: str) -> list[WarmingRun]:
    """Return the runs that a region remembers, the latest first; none where it does not answer."""
    return _read(region, "runs", list[WarmingRun]) or []


def save_checkpoint(checkpoint: Checkpoint) -> None:
    checkpoint.saved_at = time.time()
    text = msgspec.json.encode(checkpoint).decode()
    for region in checkpoint.regions:
        caches[region].set(_key("checkpoint"), text, CHECKPOINT_SECONDS)


def read_checkpoint(regions: Iterable[str]) -> Checkpoint | None:
    """Return the latest checkpoint of these regions."""
    found = [one for region in regions if (one := _read(region, "checkpoint", Checkpoint)) is not None]
    return max(found, key=lambda one: one.saved_at, default=None)


def forget_checkpoint(regions: Iterable[str]) -> None:
    for region in regions:
        caches[region].delete(_key("checkpoint"))


def _read(region: str, name: str, kind: "type[T]") -> T | None:
    text = caches[region].get(_key(name))
    try:
        return None if text is None else msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:  # another release wrote it
        return None


def _key(name: str) -> str:
    return f"{conf.prefix}:warming:{name}"


def as_data(run: WarmingRun) -> Mapping[str, Any]:
    """Return a run as plain values for JSON."""
    data: Mapping[str, Any] = msgspec.to_builtins(run)
    return data
