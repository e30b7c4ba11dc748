"""The ledger's contract, on every store: parcels add up, once each, and everything ends by itself."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cacheops.monitoring.timeseries import (
    HOUR,
    MINUTE,
    TOTAL,
    Ledger,
    MemoryLedger,
    Parcel,
    Span,
    last_spans,
    ledger_of,
    span_at,
)
from cacheops.protocol.keys import escaped
from cacheops.regions import regions


@pytest.fixture
def ledger(region: str) -> Ledger:
    return ledger_of(regions[region].store)


@pytest.fixture
def make(region: str) -> Callable[..., Parcel]:
    def parcel(sums: dict[str, dict[str, int]], span: Span = TOTAL, name: str = "", lives: int = 60) -> Parcel:
        return Parcel(span.base, name or uuid.uuid4().hex, lives, sums)

    return parcel


def test_parcels_add_up_series_by_series(ledger: Ledger, make: Any) -> None:
    ledger.add(
        [make({"r|a:get": {"hits": 2, "l:80": 2}}), make({"r|a:get": {"hits": 3, "misses": 1}, "e|b": {"n": 1}})]
    )
    assert ledger.read([TOTAL.base]) == [{"r|a:get": {"hits": 5, "misses": 1, "l:80": 2}, "e|b": {"n": 1}}]


def test_large_counts_stay_exact(ledger: Ledger, make: Any) -> None:
    ledger.add([make({"r|a:get": {"bytes": 2**45}}), make({"r|a:get": {"bytes": 1}})])
    assert ledger.read([TOTAL.base]) == [{"r|a:get": {"bytes": 2**45 + 1}}]


def test_a_parcel_that_comes_again_changes_nothing(ledger: Ledger, make: Any) -> None:
    parcel = make({"r|a:get": {"hits": 2}}, name="one")
    assert ledger.add([parcel]) == [True]
    assert ledger.add([parcel, make({"r|a:get": {"hits": 1}})]) == [False, True]
    assert ledger.read([TOTAL.base]) == [{"r|a:get": {"hits": 3}}]


def test_spans_are_read_in_their_order_also_those_without_figures(ledger: Ledger, make: Any) -> None:
    spans = last_spans(1e9, MINUTE, 300)
    ledger.add([make({"e|a": {"n": at}}, spans[at]) for at in (0, 150, 299)])
    found = ledger.read([span.base for span in spans])
    assert {at: sums["e|a"]["n"] for at, sums in enumerate(found) if sums} == {0: 0, 150: 150, 299: 299}


def test_notes_are_kept(ledger: Ledger) -> None:
    key = f"{TOTAL.base}n:a"
    assert ledger.noted(key) is None
    ledger.note(key, b"1", 60)
    assert ledger.noted(key) == b"1"


@pytest.mark.parametrize("region", ["us-west-2", "us-east-1"], indirect=True)
def test_every_key_ends_by_itself(ledger: Ledger, region: str, make: Any) -> None:
    """A key without an end would outlive its use, and volatile-lru would never drop it."""
    ledger.add([make({"e|a": {"n": 1}}, Span(HOUR, 5), lives=HOUR)])
    ledger.note(f"{TOTAL.base}n:a", b"1", 60)
    store: Any = regions[region].store
    keys = [key for batch in store.scan(Span(HOUR, 5).base.split("{")[0]) for key in batch]
    assert len(keys) == 3
    left = [store.servers.client.ttl(key) for key in keys]
    assert all(0 < seconds <= HOUR for seconds in left)


@pytest.mark.parametrize("region", ["us-east-1"], indirect=True)
def test_the_minutes_lie_on_all_nodes_of_a_cluster(ledger: Ledger, region: str) -> None:
    store: Any = regions[region].store
    nodes = [store.servers.node_of(span.base + "s") for span in last_spans(1e9, MINUTE, 100)]
    shares = [nodes.count(node) for node in store.servers.primaries()]
    assert sum(shares) == 100
    assert min(shares) > 20


def test_spans_in_memory_end() -> None:
    now = [0.0]
    ledger = MemoryLedger(clock=lambda: now[0])
    ledger.add([Parcel("a", "1", 60, {"e|a": {"n": 1}})])
    now[0] = 61.0
    assert ledger.read(["a"]) == [{}]


def test_no_tables_keys_are_met() -> None:
    assert span_at(1e9, MINUTE).base.endswith("{metrics.m-16666666}:")
    assert escaped("m-16666666") != "m-16666666"
