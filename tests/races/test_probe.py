"""One caller probes an open circuit, and always reports the outcome: a region that is back is used at once."""

import time
from typing import Any

import pytest
from django.core.cache import caches

from cacheops.exceptions import UnencodableValue
from cacheops.panel import overview
from cacheops.regions import Region, regions
from cacheops.regions.hotkeys import hotkeys
from cacheops.stores.circuit_breaker import CircuitState
from tests.testapp.cached import is_hit
from tests.testapp.models import Book

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]

HOUR = 3600.0


@pytest.fixture
def back(settings: Any) -> Region:
    """Return a region that was away and answers again: its circuit is open, and lets one caller through."""
    settings.CACHEOPS_BREAKER_RECOVERY = HOUR
    settings.CACHEOPS_USAGE_SAMPLE = 1
    region = regions.local
    circuit = region.breaker
    circuit.pause = 0.0
    for _ in range(circuit.failure_threshold):
        circuit.failed()
    assert not circuit.allows()
    circuit._next_try = time.monotonic()
    assert circuit.state is CircuitState.HALF_OPEN
    return region


def test_a_sampled_read(back: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read before which the sample is sent finds the region back."""
    monkeypatch.setattr("cacheops.regions.hotkeys.SEND_SECONDS", 0.0)
    hotkeys.settings_changed()
    Book.objects.get(pk=1)
    assert back.breaker.state is CircuitState.CLOSED
    assert is_hit("default", lambda: Book.objects.get(pk=1))


def test_the_open_panel(back: Region) -> None:
    overview.write_behind()
    assert back.breaker.state is CircuitState.CLOSED


def test_a_write(back: Region) -> None:
    Book.objects.filter(pk=1).update(title="new")
    assert back.breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize("one_region", ["redis"], indirect=True)
def test_a_value_that_the_regions_cache_cannot_hold(back: Region) -> None:
    """The caller fails before the servers are asked: the next one asks them."""
    cache = caches[back.name]
    with pytest.raises(UnencodableValue):
        cache.set("key", lambda: None)
    assert cache.set("key", 1)
    assert back.breaker.state is CircuitState.CLOSED
