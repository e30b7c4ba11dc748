"""Fixtures for every test: the servers that the suite runs on."""

import os

import pytest

from tests import servers
from xyzsite.localregions.manager import LocalRegions


@pytest.fixture(scope="session")
def regions() -> LocalRegions:
    """Return the suite's regions, to read from; a test that breaks servers starts regions of its own."""
    directory = os.environ.get(servers.DIRECTORY)
    if directory is None:
        pytest.skip("the environment names its own servers")
    return LocalRegions(directory)
