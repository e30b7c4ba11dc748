"""What a reader has begun goes on while others wait for a region; a lease takes and lets go its own lock alone."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cacheops.instrumentation.counters import counters
from cacheops.profiles import Profile
from cacheops.protocol.keys import TableKeys
from cacheops.reading import fetch, fetch_many
from cacheops.reading.lease import Lease, cancel_lease, send_lease, take_free_leases, take_lease, take_leases
from cacheops.reading.request import Request
from cacheops.regions import Region, regions
from cacheops.stores.base import MarkedTable, Refusal, TableTags

TABLE = TableKeys.of("t", "default", "devices_device")
ROWS = [(1, "a")]
REQUEST = Request("digest", (TableTags(TABLE, ("id=1",), ("id",)),), Profile(timeout=300), "devices.device:get")


@pytest.fixture
def region(settings: Any) -> Region:
    backend = {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": uuid.uuid4().hex}
    settings.CACHES = {**settings.CACHES, "us-east-2": backend}
    settings.CACHEOPS_REGIONS = (settings.CACHEOPS_LOCAL_REGION,) = ("us-east-2",)
    counters.reset()
    regions.local.breaker.pause = 60.0  # as of one on servers
    return regions.local


def is_locked(region: Region) -> bool:
    return region.store.read([REQUEST.loader]) != [None]


def batch(region: Region) -> fetch_many._Batch:
    return fetch_many._Batch(region, [REQUEST], lambda places: [ROWS for _ in places])


BEGUN: dict[str, Callable[[Region], Any]] = {
    "a lease": lambda region: take_lease(region, REQUEST, lock=True),
    "free leases": lambda region: take_free_leases(region, [REQUEST])[0][0],
    "leases of locked results": lambda region: take_leases(region, [REQUEST], is_locked=True)[0][0],
    "an outdated entry": lambda region: fetch._outdated(region, REQUEST) is None and Lease,
    "a reader that waits": lambda region: fetch._wait(region, REQUEST, None),
    "a batch that waits": lambda region: batch(region)._wait([0]) or Lease,
}


@pytest.mark.parametrize("name", BEGUN)
def test_what_was_begun_goes_on_during_a_pause(name: str, region: Region) -> None:
    region.breaker.failed()
    assert not region.breaker.is_usable()
    found = BEGUN[name](region)
    assert found is Lease or isinstance(found, Lease)


def test_a_lease_that_is_not_needed_lets_its_lock_go_during_a_pause(region: Region) -> None:
    sent = send_lease(region, REQUEST, lock=True)
    assert is_locked(region)
    region.breaker.failed()
    cancel_lease(region, REQUEST, sent, lock=True)
    assert not is_locked(region)


@pytest.mark.parametrize("own", [True, False])
def test_a_refused_lease_lets_go_no_other_reader_s_lock(own: bool, region: Region) -> None:
    region.store.mark([MarkedTable(TABLE, frozenset({"id=1"}))], b"writer00", 60.0).result()
    assert region.store.lock([REQUEST.loader], 60.0) == [True]
    assert take_leases(region, [REQUEST], is_locked=own) == [(Refusal.PENDING, None)]
    assert is_locked(region) is not own


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("profile", "one_loads"),
    [({"lock": True}, True), ({"lock": False}, False), ({"lock": False, "seconds": 9.0}, True)],
)
def test_a_lock_is_taken_where_the_reader_and_its_profile_want_one(
    profile: dict[str, Any], one_loads: bool, asked: bool, region: Region
) -> None:
    level = "stale_ok" if "seconds" in profile else "fresh"
    request = REQUEST._replace(profile=Profile(timeout=300, level=level, **profile))
    lease = take_lease(region, request, lock=asked)
    assert isinstance(lease, Lease)
    assert (lease.is_locked, is_locked(region)) == (asked and one_loads,) * 2


@pytest.mark.parametrize("module", [fetch, fetch_many])
def test_of_a_reader_that_waits_one_look_is_counted(
    module: Any, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "looks", lambda seconds: range(3))
    assert region.store.lock([REQUEST.loader], 60.0) == [True]
    if module is fetch:
        fetch.fetch(REQUEST, lambda: ROWS)
    else:
        fetch_many.fetch_many([REQUEST], lambda places: [ROWS for _ in places])
    assert (counters.total("absent"), counters.bypasses.total()) == (1, 1)


def test_of_no_requests_nothing_is_loaded() -> None:
    assert fetch_many.fetch_many([], lambda places: pytest.fail("there is nothing to load")) == []
