"""Short runs: the harness catches caches that are wrong, and finds nothing in ours, whatever fails."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.consistency.run import Options, Outcome, Run
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import Options as ServerOptions

# One item that is read and written all the time, by processes that often stand still.
CONTENDED = Options(
    reads=30_000, seconds=60, hot=1, pause=0.5, pause_seconds=0.03, reads_per_write=15, stop_at_stale=True, seed=3
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegions]:
    regions = LocalRegions(tmp_path_factory.mktemp("regions"))
    regions.up(ServerOptions(postgres=True, replicas=False, volatile=True, replace_after=0.3))
    yield regions
    regions.down()


def outcome_of(options: Options, servers: LocalRegions, directory: Path) -> Outcome:
    return Run(options, servers, directory, lambda text: None).run()


@pytest.mark.parametrize("strategy", ["after_commit", "versions_at_fill"])
def test_a_wrong_cache_is_caught(servers, tmp_path, strategy):
    outcome = outcome_of(replace(CONTENDED, strategy=strategy), servers, tmp_path)
    assert outcome.stale > 0, "nothing stale was found in a cache that is wrong"


def test_a_channel_that_tells_of_nothing_is_caught(servers, tmp_path):
    outcome = outcome_of(replace(CONTENDED, strategy="deaf_channel", near=0.5), servers, tmp_path)
    assert outcome.figures["near"] > 0
    assert outcome.stale > 0, "nothing stale was found in processes that hear of no changes"


def test_near_reads_are_as_new_as_their_bound(servers, tmp_path):
    options = replace(CONTENDED, reads=2000, near=0.5, stop_at_stale=False, faults=frozenset({"failover"}))
    outcome = outcome_of(options, servers, tmp_path)
    assert outcome.stale == 0, outcome.reports
    assert outcome.figures["near"] > 0
    assert outcome.figures["own_write"] > 0


SHORT = {"reads": 3000, "seconds": 8.0, "writers": 2, "seed": 7, "kill_every": 2.0}


@pytest.mark.parametrize(
    "options",
    [
        replace(CONTENDED, **SHORT, faults=frozenset({"kill", "locks", "snapshot"})),
        Options(**SHORT, faults=frozenset({"failover"}), on_unreachable="strict", regions=("us-east-1",)),
        Options(**SHORT, faults=frozenset({"failover", "evict"}), regions=("us-west-2", "us-east-1")),
        # Few writes: one that is under way when the servers end invalidates its tables after they are back.
        Options(**SHORT, faults=frozenset({"snapshot-restart"}), reads_per_write=2000),
    ],
    ids=[
        "contention, killed writers, locks, snapshots",
        "failover, strict",
        "failover, queue, eviction",
        "old snapshots",
    ],
)
def test_nothing_is_stale(servers, tmp_path, options):
    outcome = outcome_of(options, servers, tmp_path)
    assert outcome.stale == 0, outcome.reports
    assert outcome.figures["hits"] > 0
    assert outcome.figures["writes"] > 0
    assert outcome.crashed > 0 or "snapshot-restart" not in options.faults
