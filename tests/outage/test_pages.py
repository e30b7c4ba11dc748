"""A page while its region does not answer: it waits once, then not at all. Attempts are counted, not time."""

from collections.abc import Iterator
from typing import Any

import environ
import pytest
from django.test import Client

from cacheops.regions import regions
from cacheops.stores.circuit_breaker import CacheCircuitBreaker, CircuitState
from devices.models import Device, Kind
from locations.models import Location
from tests.waiting import until
from users.models import User
from xyzsite.localregions.manager import LocalRegions
from xyzsite.settings.regions import caches_from_environment

PAGES = ["/", "/devices/H-1/", "/locations/harbor/", "/api/devices"]

# Seconds. A frozen server is silent for longer, those of a busy machine are not; and nobody asks twice in a test.
PATIENT = {
    "REDIS_PAUSE_AFTER_FAILURE": "60",
    "REDIS_SOCKET_TIMEOUT": "0.5",
    "REDIS_SOCKET_CONNECT_TIMEOUT": "0.5",
    "REDIS_RETRY_BUDGET": "0.5",
}


@pytest.fixture
def unanswered(monkeypatch: Any) -> list[str]:
    """Return a list to which each call without an answer is added, of the engine and of the caches."""
    failures: list[str] = []
    record = CacheCircuitBreaker.failed

    def failed(circuit: CacheCircuitBreaker) -> bool:
        failures.append("no answer")
        return record(circuit)

    monkeypatch.setattr(CacheCircuitBreaker, "failed", failed)
    return failures


@pytest.fixture(params=["us-east-1", "us-west-2"])
def frozen(request: Any, breakable_regions: LocalRegions, settings: Any) -> Iterator[str]:
    """Return a region that this process runs in; every server of it is frozen. None is replaced in the test's time."""
    env = environ.Env()
    env.ENVIRON = breakable_regions.environment(request.param) | PATIENT
    settings.CACHES = caches_from_environment(env, request.param)
    settings.CACHEOPS_LOCAL_REGION = request.param
    return request.param


def nodes(breakable_regions: LocalRegions, region: str) -> list[str]:
    return [row["node"] for row in breakable_regions.status() if row["region"] == region and row["shard"]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cold", [False, True], ids=["while it runs", "before it starts"])
def test_a_page_waits_once_then_not_at_all(
    frozen: str, cold: bool, breakable_regions: LocalRegions, unanswered: list[str], settings: Any
) -> None:
    harbor = Location.objects.create(name="Harbor", code="harbor")
    Device.objects.create(location=harbor, serial="H-1", name="One", kind=Kind.THERMOMETER, metric="rain")
    client = Client()
    client.force_login(User.objects.create_user("ada", is_staff=True))
    for page in PAGES:
        assert client.get(page).status_code == 200
    unanswered.clear()
    regions.local.breaker.reset()

    stopped = nodes(breakable_regions, frozen)
    for node in stopped:
        breakable_regions.pause(node)
    if cold:
        regions.reset()
        settings.CACHES = {name: entry | {"KEY_PREFIX": "cold"} for name, entry in settings.CACHES.items()}
    counts = []
    for page in PAGES * 3:
        before = len(unanswered)
        assert client.get(page).status_code == 200
        counts.append(len(unanswered) - before)
    assert counts == [1] + [0] * (len(counts) - 1)

    for node in stopped:
        breakable_regions.resume(node)
    breakable_regions.wait_linked()

    def answers() -> bool:
        regions.local.breaker.reset()  # as the panel does; by itself it asks again after the pause
        return client.get("/devices/H-1/").status_code == 200 and regions.local.breaker.failures == 0

    until(answers, "the region is used again")
    assert regions.local.breaker.state is CircuitState.CLOSED
