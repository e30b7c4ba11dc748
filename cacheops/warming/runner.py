"""A warming run: target by target, batch by batch, in all regions at once, at a rate, from where it stopped."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import islice
from typing import Any, Protocol

from cacheops.conf import conf
from cacheops.exceptions import InvalidOption
from cacheops.regions.read_scope import ReadScope, in_scope
from cacheops.warming.fanout import RegionFanout
from cacheops.warming.history import Checkpoint, Outcome, WarmingRun, forget_checkpoint, record_run, save_checkpoint
from cacheops.warming.registry import BATCH, Warmer
from cacheops.warming.replica import Source, cached_alias, replica_of
from cacheops.warming.selection import Scope, done, plain_key

SAVE_SECONDS = 1.0  # between two checkpoints


class Report(Protocol):
    """Hears how a run goes."""

    def target(self, name: str, total: int, before: int) -> None:
        """A target begins: so many keys, so many of them done by an earlier run."""

    def step(self, keys: int, outcomes: dict[str, Outcome]) -> None:
        """So many more keys are done; what has come of all entries until now."""


class Pace:
    """Holds a rate: `wait` returns when so many entries, in each region, are due since the start."""

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate is not None and rate <= 0:
            raise InvalidOption(f"--rate is {rate:g}: it must be above 0 entries a second.")
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._started = clock()

    def wait(self, entries: int) -> None:
        if self._rate is not None:
            early = self._started + entries / self._rate - self._clock()
            if early > 0:
                self._sleep(early)

    def batch(self, most: int = BATCH) -> int:
        """Return how many keys to take at a time: fewer where so many would be many seconds' worth."""
        return most if self._rate is None else max(1, min(most, int(self._rate / 4)))


class Runner:
    """One run of the warmers over regions. Raise InvalidOption where none of them can be warmed by this process."""

    def __init__(
        self,
        warmers: Sequence[Warmer],
        checkpoint: Checkpoint,
        scope: Scope,
        report: Report,
        *,
        rate: float | None = None,
        dry_run: bool = False,
    ) -> None:
        self.warmers = warmers
        self.checkpoint = checkpoint
        self.scope = scope
        self.report = report
        self.dry_run = dry_run
        self.pace = Pace(rate)
        self._saved_at = time.monotonic()
        self._entries = 0  # of each region
        names = tuple(warmer.name for warmer in warmers)
        self.run = WarmingRun(time.time(), names, scope.text, outcomes={name: Outcome() for name in checkpoint.regions})
        served = {name for warmer in warmers for name in self._regions_of(warmer)}
        for name in checkpoint.regions:
            self.run.outcomes[name].error = "" if name in served else elsewhere(name)
        if warmers and not served:
            raise InvalidOption(" ".join(outcome.error for outcome in self.run.outcomes.values()))

    def __call__(self) -> WarmingRun:
        """Run to the end, and keep what came of it. An interruption leaves a checkpoint, and is raised again."""
        started = time.monotonic()
        try:
            for warmer in self.warmers[self.checkpoint.target :]:
                self._warm(warmer)
                self.checkpoint.next_target()
            failed = any(outcome.failed for outcome in self.run.outcomes.values())
            self.run.status = "failed" if failed else "done"
            if not self.dry_run:
                forget_checkpoint(self.checkpoint.regions)
        except BaseException:
            self.run.status = "interrupted"
            if not self.dry_run:
                save_checkpoint(self.checkpoint)
            raise
        finally:
            self.run.seconds = time.monotonic() - started
            if not self.dry_run:
                record_run(self.run)
        return self.run

    def _warm(self, warmer: Warmer) -> None:
        if not self._regions_of(warmer):
            return
        checkpoint, scope = self.checkpoint, self.scope
        scope.start(warmer, checkpoint)
        if checkpoint.hot is not None:
            checkpoint.hot = [plain_key(key) for key in checkpoint.hot]
        before = checkpoint.hot_done + checkpoint.others_done
        self.report.target(warmer.name, scope.count(warmer, checkpoint), before)
        with closing(self._fanout(warmer)) as fanout:
            fanout.outcomes, fanout.entries = self.run.outcomes, self._entries
            for keys in batches(scope.keys(warmer, checkpoint), self.pace.batch(warmer.batch)):
                with own_replica():
                    for task in warmer.tasks(keys):
                        task.warm(fanout)
                        self.pace.wait(fanout.entries)
                done(checkpoint, warmer, keys)
                self.report.step(len(keys), self.run.outcomes)
                self._save_now_and_then()
            self.run.source, self._entries = fanout.source.used, fanout.entries

    def _fanout(self, warmer: Warmer) -> RegionFanout:
        model = warmer.model
        replica = None if model is None else replica_of(model)
        source = Source("default" if model is None else cached_alias(model), replica)
        return RegionFanout(self._regions_of(warmer), source, dry_run=self.dry_run)

    def _regions_of(self, warmer: Warmer) -> list[str]:
        """Return the regions that cache what a warmer warms; of those that follow a replica, this process's own."""
        cached = conf.regions if warmer.model is None else conf.regions_of(cached_alias(warmer.model))
        following = {name for alias in conf.all_followers for name in conf.regions_of(alias)}
        others = () if conf.local_region in following else set(cached) - following
        return [name for name in self.checkpoint.regions if name in others or name == conf.local_region in cached]

    def _save_now_and_then(self) -> None:
        if not self.dry_run and time.monotonic() - self._saved_at >= SAVE_SECONDS:
            save_checkpoint(self.checkpoint)
            self._saved_at = time.monotonic()


def own_replica() -> AbstractContextManager[object]:
    """Read the replica that this process's region follows, if it does, within the block, as its requests do."""
    return in_scope(ReadScope()) if conf.followers else nullcontext()


def elsewhere(region: str) -> str:
    """Say why a region is not warmed, and what to do."""
    if region == conf.local_region:
        return f"{region} caches nothing of what this process reads now: is its replica away, or behind?"
    return f"{region} caches its own replica, or other databases than this process: run warm_cache in {region}."


def batches(keys: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(keys, size)):
        yield batch
