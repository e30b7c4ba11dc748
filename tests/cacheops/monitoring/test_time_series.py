"""The time_series's contract, on every store: increments add up, once each, and everything ends by itself."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cacheops.instrumentation.counters import Sums
from cacheops.monitoring.timeseries import (
    HOUR,
    MINUTE,
    TOTAL,
    Increment,
    MemoryTimeSeries,
    Period,
    TimeSeriesStore,
    last_periods,
    period_at,
    time_series_of,
)
from cacheops.protocol.keys import escaped
from cacheops.regions import regions


@pytest.fixture
def time_series(region: str) -> TimeSeriesStore:
    return time_series_of(regions[region].store)


@pytest.fixture
def make(region: str) -> Callable[..., Increment]:
    def increment(sums: Sums, period: Period = TOTAL, name: str = "", lives: int = 60) -> Increment:
        return Increment(period.base, name or uuid.uuid4().hex, lives, sums)

    return increment


def test_parcels_add_up_series_by_series(time_series: TimeSeriesStore, make: Any) -> None:
    time_series.add(
        [make({"r|a:get": {"hits": 2, "l:80": 2}}), make({"r|a:get": {"hits": 3, "misses": 1}, "e|b": {"n": 1}})]
    )
    assert time_series.read([TOTAL.base]) == [{"r|a:get": {"hits": 5, "misses": 1, "l:80": 2}, "e|b": {"n": 1}}]


def test_large_counts_stay_exact(time_series: TimeSeriesStore, make: Any) -> None:
    time_series.add([make({"r|a:get": {"bytes": 2**45}}), make({"r|a:get": {"bytes": 1}})])
    assert time_series.read([TOTAL.base]) == [{"r|a:get": {"bytes": 2**45 + 1}}]


def test_a_parcel_that_comes_again_changes_nothing(time_series: TimeSeriesStore, make: Any) -> None:
    increment = make({"r|a:get": {"hits": 2}}, name="one")
    assert time_series.add([increment]) == [True]
    assert time_series.add([increment, make({"r|a:get": {"hits": 1}})]) == [False, True]
    assert time_series.read([TOTAL.base]) == [{"r|a:get": {"hits": 3}}]


def test_spans_are_read_in_their_order_also_those_without_figures(time_series: TimeSeriesStore, make: Any) -> None:
    periods = last_periods(1e9, MINUTE, 300)
    time_series.add([make({"e|a": {"n": at}}, periods[at]) for at in (0, 150, 299)])
    found = time_series.read([period.base for period in periods])
    assert {at: sums["e|a"]["n"] for at, sums in enumerate(found) if sums} == {0: 0, 150: 150, 299: 299}


def test_notes_are_kept(time_series: TimeSeriesStore) -> None:
    key = f"{TOTAL.base}n:a"
    assert time_series.noted(key) is None
    time_series.note(key, b"1", 60)
    assert time_series.noted(key) == b"1"


@pytest.mark.servers
@pytest.mark.parametrize("region", ["us-west-2", "us-east-1"], indirect=True)
def test_every_key_ends_by_itself(time_series: TimeSeriesStore, region: str, make: Any) -> None:
    """A key without an end would outlive its use, and volatile-lru would never drop it."""
    time_series.add([make({"e|a": {"n": 1}}, Period(HOUR, 5), lives=HOUR)])
    time_series.note(f"{TOTAL.base}n:a", b"1", 60)
    store: Any = regions[region].store
    keys = [key for batch in store.scan(Period(HOUR, 5).base.split("{")[0]) for key in batch]
    assert len(keys) == 3
    left = [store.servers.client.ttl(key) for key in keys]
    assert all(0 < seconds <= HOUR for seconds in left)


@pytest.mark.servers
@pytest.mark.parametrize("region", ["us-east-1"], indirect=True)
def test_the_minutes_lie_on_all_nodes_of_a_cluster(time_series: TimeSeriesStore, region: str) -> None:
    store: Any = regions[region].store
    nodes = [store.servers.node_of(period.base + "s") for period in last_periods(1e9, MINUTE, 100)]
    shares = [nodes.count(node) for node in store.servers.primaries()]
    assert sum(shares) == 100
    assert min(shares) > 20


def test_spans_and_notes_in_memory_end() -> None:
    now = [0.0]
    time_series = MemoryTimeSeries(clock=lambda: now[0])
    time_series.add([Increment("a", "1", 60, {"e|a": {"n": 1}})])
    time_series.note("b", b"1", 60)
    now[0] = 59.0
    assert (time_series.read(["a"]), time_series.noted("b")) == ([{"e|a": {"n": 1}}], b"1")
    now[0] = 60.0
    assert (time_series.read(["a"]), time_series.noted("b")) == ([{}], None)
    time_series.add([Increment("a", "2", 60, {"e|a": {"n": 5}})])
    assert time_series.read(["a"]) == [{"e|a": {"n": 5}}]


def test_no_tables_keys_are_met() -> None:
    assert period_at(1e9, MINUTE).base.endswith("{metrics.m-16666666}:")
    assert escaped("m-16666666") != "m-16666666"
