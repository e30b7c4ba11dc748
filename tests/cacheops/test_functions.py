"""cached and cached_as: results as entries, invalidated by what they depend on."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections, transaction

from cacheops import bypassed, cache_read, cached, cached_as, invalidate_all
from cacheops.decorators import keys
from cacheops.exceptions import InvalidOption, StoreUnavailable
from cacheops.regions import regions
from locations.models import Location

NOWHERE = {
    "BACKEND": "cacheops.backends.RegionCache",
    "LOCATION": ["redis://127.0.0.1:1", "redis://127.0.0.1:1"],
    "OPTIONS": {"CLIENT_CLASS": "cacheops.backends.PairClient"},
}
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def harbor() -> Location:
    return Location.objects.create(name="Harbor", code="harbor")


def test_a_cached_function_runs_once_for_each_set_of_arguments() -> None:
    calls = []

    @cached(timeout=60, key="a_cached_function_runs_once_for_each_set_of_arguments")
    def doubled(number: int, times: int = 2) -> int:
        calls.append(number)
        return number * times

    assert [doubled(4), doubled(4), doubled(number=4), doubled(4, times=2)] == [8, 8, 8, 8]
    assert doubled(5) == 10
    assert calls == [4, 5]


def test_invalidating_one_call_leaves_the_others() -> None:
    calls = []

    @cached(timeout=60, key="invalidating_one_call_leaves_the_others")
    def named(name: str) -> str:
        calls.append(name)
        return name

    for name in ("a", "b", "a", "b"):
        named(name)
    named.invalidate("a")
    for name in ("a", "b"):
        named(name)
    assert calls == ["a", "b", "a"]


@pytest.mark.parametrize("place", [{"HOST": "elsewhere"}, {"PORT": 5433}, {"OPTIONS": {"service": "elsewhere"}}])
def test_sites_whose_databases_are_called_the_same_share_no_result(
    place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, default = [], connections["default"]

    @cached(timeout=60, key="sites_whose_databases_are_called_the_same")
    def site() -> int:
        calls.append(1)
        return len(calls)

    site.invalidate()
    assert [site(), site()] == [1, 1]
    with monkeypatch.context() as patch:
        patch.setattr(default, "settings_dict", {**default.settings_dict, **place})
        assert [site(), site()] == [2, 2]
        site.invalidate()  # one site may reach its database by two hosts: an invalidation is of both
    assert site() == 3


def test_releases_of_two_formats_keep_results_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """While both run, neither overwrites what only the other reads, and each invalidates for both."""
    calls = []

    @cached(timeout=60, key="releases_of_two_formats_keep_results_of_their_own")
    def number() -> int:
        calls.append(1)
        return len(calls)

    assert number() == 1
    monkeypatch.setattr(keys, "FORMAT", keys.FORMAT + 1)
    assert number() == number() == 2
    monkeypatch.undo()
    assert number() == 1
    number.invalidate()
    monkeypatch.setattr(keys, "FORMAT", keys.FORMAT + 1)
    assert number() == 3


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("everything", [False, True])
def test_all_regions_that_answer_are_told_and_the_others_are_named(settings: Any, everything: bool) -> None:
    home = settings.CACHEOPS_LOCAL_REGION
    settings.CACHES = {**settings.CACHES, "nowhere": NOWHERE}
    settings.CACHEOPS_REGIONS = ("nowhere", home)
    calls = []

    @cached(timeout=60, key=f"all_regions_that_answer_are_told_{everything}")
    def number() -> int:
        calls.append(1)
        return len(calls)

    assert (number(), number()) == (1, 1)
    failures = regions["nowhere"].breaker.failures
    with pytest.raises(StoreUnavailable, match="nowhere"):
        invalidate_all() if everything else number.invalidate()
    assert regions["nowhere"].breaker.failures > failures
    assert number() == 2


def test_a_result_follows_its_sample(harbor: Location) -> None:
    calls = []

    @cached_as(Location.objects.filter(region="us-east-1"), timeout=60, key="a_result_follows_its_sample")
    def names() -> list[str]:
        calls.append(1)
        return [location.name for location in Location.objects.filter(region="us-east-1")]

    assert names() == names() == ["Harbor"]
    assert len(calls) == 1
    harbor.name = "Pier"
    harbor.save()
    assert names() == ["Pier"]


def test_a_row_outside_of_the_sample_leaves_the_result(harbor: Location) -> None:
    calls = []

    @cached_as(Location.objects.filter(code="harbor"), timeout=60, key="a_row_outside_of_the_sample_leaves_the_result")
    def found() -> int:
        calls.append(1)
        return 1

    for code in ("one", "two", "three"):
        found()
        found()
        Location.objects.create(name=code, code=code)
    assert len(calls) <= 2  # the first write teaches the process the scheme, and invalidates the table once


def test_samples_may_be_models_and_instances(harbor: Location) -> None:
    for sample in (Location, harbor):
        calls = []

        @cached_as(sample, timeout=60, key="samples_may_be_models_and_instances", extra=str(type(sample)))
        def counted(calls: list[int] = calls) -> int:
            calls.append(1)
            return Location.objects.count()

        first = counted()
        Location.objects.filter(pk=harbor.pk).update(timezone="Asia/Tokyo")
        counted()
        assert first == 1
        assert len(calls) == 2


def test_results_keep_their_types(harbor: Location) -> None:
    result = {
        "when": dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC),
        "price": Decimal("1.50"),
        "places": [harbor],
        "set": {1, 2},
        "pair": (1, None),
        "query": Location.objects.filter(pk=harbor.pk),
    }

    @cached(timeout=60, key="results_keep_their_types")
    def made() -> dict[str, object]:
        return result

    made()
    again = made()
    assert again is not result
    assert list(again.pop("query")) == [harbor]
    assert again == {name: value for name, value in result.items() if name != "query"}
    assert type(again["pair"]) is tuple
    assert again["places"][0].name == "Harbor"


def test_a_result_that_no_entry_can_hold_is_returned_each_time() -> None:
    calls = []

    @cached(timeout=60, key="a_result_that_no_entry_can_hold_is_returned_each_time")
    def opened() -> object:
        calls.append(1)
        return object

    assert opened() is object
    assert opened() is object
    assert len(calls) == 2


def test_an_open_transaction_sees_its_own_writes(harbor: Location) -> None:
    @cached_as(Location, timeout=60, key="an_open_transaction_sees_its_own_writes")
    def names() -> list[str]:
        return list(Location.objects.values_list("name", flat=True))

    assert names() == ["Harbor"]
    with transaction.atomic():
        Location.objects.update(name="Pier")
        assert names() == ["Pier"]
        transaction.set_rollback(True)
    assert names() == ["Harbor"]


def test_bypassed_runs_the_function() -> None:
    calls = []

    @cached(timeout=60, key="bypassed_runs_the_function")
    def counted() -> int:
        calls.append(1)
        return len(calls)

    assert counted() == 1
    with bypassed():
        assert counted() == 2
    assert counted() == 1


def test_listeners_hear_of_hits_and_misses() -> None:
    heard = []

    @cached(timeout=60, key="listeners_hear_of_hits_and_misses")
    def quiet() -> int:
        return 1

    def listen(**kwargs: object) -> None:
        heard.append(kwargs["hit"])

    cache_read.connect(listen)
    try:
        quiet()
        quiet()
    finally:
        cache_read.disconnect(listen)
    assert heard == [False, True]


def test_misuse_is_named() -> None:
    with pytest.raises(InvalidOption, match="needs a sample"):
        cached_as()
    with pytest.raises(InvalidOption, match="brackets"):

        @cached
        def forgotten() -> None: ...

    with pytest.raises(InvalidOption, match="no TTL strategy"):
        cached(timeout="for_ever", key="misuse")(lambda: 1)()
