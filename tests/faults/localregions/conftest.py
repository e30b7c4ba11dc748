"""Here every test breaks servers."""

import pytest

from xyzsite.localregions.manager import LocalRegions


@pytest.fixture
def regions(breakable_regions: LocalRegions) -> LocalRegions:
    return breakable_regions
