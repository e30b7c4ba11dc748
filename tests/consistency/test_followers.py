"""Short runs in follower regions: the harness catches relays and readers that are wrong, and finds nothing in ours."""

from dataclasses import replace

import pytest

from tests.consistency.follower_run import FollowerRun
from tests.consistency.run import Options
from tests.consistency.test_harness import CONTENDED

WEST = replace(CONTENDED, seconds=120, regions=("us-east-1",), followers=("us-west-2",))
LAGGING = {"faults": frozenset({"lag"}), "kill_every": 0.2, "freeze_seconds": 0.3}


@pytest.mark.parametrize(
    "options",
    [replace(WEST, strategy="relay_ahead"), replace(WEST, strategy="no_positions", **LAGGING)],
    ids=["a relay that runs ahead", "a reader that ignores positions"],
)
def test_a_wrong_follower_is_caught(breakable_regions, tmp_path, options):
    outcome = FollowerRun(options, breakable_regions, tmp_path, lambda text: None).run()
    assert outcome.stale > 0, "nothing stale was found in a follower that is wrong"


def test_nothing_is_stale_in_followers(breakable_regions, tmp_path):
    """Replicas stand still, readers write, and come from elsewhere."""
    options = Options(
        reads=1500, seconds=120, seed=7, pause=0.2, reads_per_write=15, kill_every=0.5, freeze_seconds=0.3,
        regions=("us-east-1",), followers=("us-west-2", "us-east-2"), faults=frozenset({"lag"}),
    )  # fmt: skip
    outcome = FollowerRun(options, breakable_regions, tmp_path, lambda text: None).run()
    assert outcome.stale == 0, outcome.reports
    assert outcome.figures["hits"] > 0
    assert outcome.figures["vouched"] > 0
    assert outcome.figures["own_write"] > 0
