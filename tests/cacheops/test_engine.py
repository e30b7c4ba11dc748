"""The engine owns what a process remembers: a test takes one of its own, and leaves nothing behind."""

from typing import Any

import pytest

from cacheops.conf import conf
from cacheops.engine import Engine
from cacheops.instrumentation.counters import counters
from cacheops.monitoring.recorder import flusher
from cacheops.profiles import profile_of
from cacheops.regions import regions
from cacheops.warming import registry
from tests.testapp.models import Book


def test_an_engine_knows_nothing_and_leaves_nothing() -> None:
    counters.event("before", runs=1)
    with Engine().in_use():
        assert counters.totals() == {}
        counters.event("within", runs=1)
        assert counters.total("runs") == 1
    assert "e|before" in counters.totals()
    assert "e|within" not in counters.totals()


def test_it_is_left_after_an_error() -> None:
    before = vars(counters)
    with pytest.raises(ValueError), Engine().in_use():
        raise ValueError
    assert vars(counters) is before


def test_its_regions_are_its_own(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "cacheops.backends.MemoryCache"}}
    settings.CACHEOPS_REGIONS = ("default",)
    settings.CACHEOPS_LOCAL_REGION = "default"
    outer = regions.local
    with Engine().in_use():
        assert regions.local is not outer
        assert regions.local.store is not outer.store
    assert regions.local is outer


def test_what_uses_a_component_is_closed_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flusher sends a last time: the regions would be made anew, and stay."""
    closed: list[str] = []
    monkeypatch.setattr(type(regions), "close", lambda handler: closed.append("regions"))
    monkeypatch.setattr(type(flusher), "close", lambda handler: closed.append("flusher"))
    with Engine().in_use():
        pass
    assert closed == ["flusher", "regions"]


def test_an_engine_can_be_used_again() -> None:
    engine = Engine()
    for runs in (1, 2):
        with engine.in_use():
            counters.event("again", runs=1)
            assert counters.total("runs") == runs


def test_registries_keep_what_apps_have_registered() -> None:
    names = [warmer.name for warmer in registry.registered()]
    assert names
    with Engine().in_use():
        registry.register_warmer("of a test", lambda keys: [], keys=list)
        assert [warmer.name for warmer in registry.registered()] == [*names, "of a test"]
    assert [warmer.name for warmer in registry.registered()] == names


def test_settings_reach_memos_and_components(settings: Any) -> None:
    assert profile_of(Book) is not None
    timeout = conf.timeout
    settings.CACHEOPS = {"testapp.*": None}
    settings.CACHEOPS_TIMEOUT = timeout * 2
    assert profile_of(Book) is None
    assert conf.timeout == timeout * 2
