"""Fixtures for every test: the servers that the suite runs on, and others that a test may break."""

import os
from collections.abc import Iterator
from typing import Any

import django
import hypothesis
import pytest
from django.db import connections

from cacheops import bypassed
from tests import replica, servers
from tests.flushing import flush_after_tests
from tests.mending import mend
from tests.sentinels import Sentinels
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import Options

# Drawn examples may take as long as a busy machine needs for them.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")

replica_url, far, lagging = replica.replica_url, replica.far, replica.lagging

END_OTHER_SESSIONS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what tests a newer Django than this one: `.ci/run` runs it under the newest."""
    newer = [item for item in items for mark in item.iter_markers("django") if mark.args > django.VERSION[:2]]
    if newer:
        config.hook.pytest_deselected(items=newer)
        items[:] = [item for item in items if item not in newer]


@pytest.fixture(scope="session")
def regions() -> LocalRegions:
    """Return the suite's regions, to read from; a test that breaks servers takes `breakable_regions`."""
    directory = os.environ.get(servers.DIRECTORY)
    if directory is None:
        pytest.skip("the environment names its own servers")
    return LocalRegions(directory)


@pytest.fixture(scope="session")
def regions_to_break(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegions]:
    started = LocalRegions(tmp_path_factory.mktemp("regions"))
    started.up(Options(postgres=True, volatile=True, replace_after=0.3))
    yield started
    started.down()


@pytest.fixture
def breakable_regions(regions_to_break: LocalRegions) -> LocalRegions:
    """Return other regions, shared by all tests that break servers: whole, near, empty, every node up and in sync."""
    mend(regions_to_break)
    return regions_to_break


@pytest.fixture(scope="session")
def sentinels_to_break(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    started = Sentinels(tmp_path_factory.mktemp("sentinels"))
    yield started
    started.end()


@pytest.fixture
def sentinels(sentinels_to_break: Sentinels) -> Sentinels:
    """Return sentinels and the two servers that they watch, shared by all tests that break them: whole, and empty."""
    sentinels_to_break.heal()
    sentinels_to_break.empty()
    return sentinels_to_break


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Have nobody use the tests' databases when they are dropped.

    A server notices late that a process which a test has killed is gone, where it waits for a lock; a window that the
    browser has just closed may have a request under way. Either would fail the last test.
    """
    flush_after_tests()
    yield
    with django_db_blocker.unblock():
        for connection in connections.all():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(END_OTHER_SESSIONS)
                connection.close()  # behind a browser's event loop it is another one than was there at the beginning


@pytest.fixture(autouse=True)
def read_past_the_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a test that is marked `uncached` read past the ORM cache, which outlives each test."""
    if request.node.get_closest_marker("uncached") is None:
        yield
    else:
        with bypassed():
            yield
