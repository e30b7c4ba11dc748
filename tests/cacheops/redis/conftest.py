"""Regions of our own, to break, and caches on them."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import environ
import pytest
from django.core.cache import CacheHandler
from django.core.cache.backends.base import BaseCache

from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import Options
from xyzsite.settings.regions import caches_from_environment

# Short: a region that swallows everything is to be noticed in a test's time. Seconds.
QUICK = {"SOCKET_TIMEOUT": 0.5, "SOCKET_CONNECT_TIMEOUT": 0.5, "RETRY_BUDGET": 0.5, "PAUSE_AFTER_FAILURE": 0.05}
_different = itertools.count(1)


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegions]:
    regions = LocalRegions(Path(tmp_path_factory.mktemp("regions")))
    regions.up(Options(volatile=True, replace_after=0.3))
    yield regions
    regions.down()


@pytest.fixture
def broken(started: LocalRegions) -> LocalRegions:
    """Return running regions that a test may break: healed, every node up and in sync."""
    started.heal()
    for row in started.status():
        if row["state"] == "paused":
            started.resume(row["node"])
    started.wait_linked()
    return started


def entry(regions: LocalRegions, region: str, own: str = "us-east-1", **options: Any) -> dict[str, Any]:
    """Return the CACHES entry of a region as a process in region `own` has it; no other test shares its connections."""
    env = environ.Env()
    env.ENVIRON = regions.environment(own)
    found = caches_from_environment(env, own)[region]
    unlike = {"RETRY_BACKOFF_CAP": 0.5 + next(_different) / 1e6}
    return found | {"KEY_PREFIX": uuid.uuid4().hex, "OPTIONS": found["OPTIONS"] | QUICK | unlike | options}


@pytest.fixture
def make(broken: LocalRegions) -> Callable[..., BaseCache]:
    """Return a call that makes a cache: make("us-west-2", own="us-east-2", READ_FROM="readers")."""

    def make_cache(region: str, own: str = "us-east-1", **options: Any) -> BaseCache:
        return CacheHandler({"default": entry(broken, region, own, **options)})["default"]

    return make_cache


def primary(regions: LocalRegions, region: str) -> str:
    """Return the name of the first primary of a region."""
    return next(row["node"] for row in regions.status() if row["region"] == region and row["role"] == "primary")
