"""One set of regions for all tests that break servers; each test finds it whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import Options


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegions]:
    regions = LocalRegions(Path(tmp_path_factory.mktemp("regions")))
    regions.up(Options(postgres=True, volatile=True, replace_after=0.3))
    yield regions
    regions.down()


@pytest.fixture
def regions(started: LocalRegions) -> LocalRegions:
    """Return running regions, healed, every node up and in sync."""
    started.heal()
    for row in started.status():
        if row["state"] == "paused":
            started.resume(row["node"])
    started.wait_linked()
    return started
