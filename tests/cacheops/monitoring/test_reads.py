"""What the engine counts of real reads and writes, and the spans that it makes of look-ups."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cacheops.conf import conf
from cacheops.encoding.rows import decode
from cacheops.exceptions import CommandRefused, StoreUnavailable
from cacheops.instrumentation.counters import counters, is_sampled
from cacheops.instrumentation.request_stats import collect_request_stats
from cacheops.instrumentation.tracing import SPAN, tracing
from cacheops.monitoring import stats
from cacheops.monitoring.monitor import CacheMonitor
from cacheops.monitoring.recorder import Flusher, flusher
from cacheops.monitoring.stats import DeliveryStats, Reads, Writes
from cacheops.profiles import Profile
from cacheops.protocol.keys import TableKeys, digest
from cacheops.protocol.tags import VERSION_BYTES
from cacheops.reading.fetch import fetch
from cacheops.reading.fetch_many import fetch_many
from cacheops.reading.load import count_bypass
from cacheops.reading.near import near_rows
from cacheops.reading.request import Request
from cacheops.regions import regions
from cacheops.stores.base import MarkedTable, TableTags
from cacheops.stores.circuit_breaker import CircuitOpen

DIGESTS = [digest(str(number).encode()) for number in range(200)]
FOLLOWED = [one for one in DIGESTS if is_sampled(one)]


def request(name: str) -> Request:
    keys = TableKeys.of("t", "default", "devices_device")
    return Request(name, (TableTags(keys, ("id=1",), ("id",)),), Profile(timeout=300), "devices.device:get")


def read(name: str) -> None:
    fetch(request(name), lambda: [(1, "a")])


Load = Callable[[], list[Any]]
Readers = Callable[[Sequence[str], Load], None]


def rows() -> list[Any]:
    return [(1, "a")]


def one_by_one(names: Sequence[str], load: Load = rows) -> None:
    for name in names:
        fetch(request(name), load)


def at_once(names: Sequence[str], load: Load = rows) -> None:
    fetch_many([request(name) for name in names], lambda places: [load() for _ in places])


BOTH_WAYS = pytest.mark.parametrize("read_all", [one_by_one, at_once])


def counted(region: str) -> stats.Reads:
    """Return what was counted up to now; this thread hears first how its fills went."""
    regions[region].store.read(request("a").key_list())
    assert flusher.flush()
    return stats.usage(region).reads["devices.device", "get"]


def write(region: str, table: MarkedTable) -> None:
    """Do what a transaction that is committed does."""
    writer = os.urandom(VERSION_BYTES)
    regions[region].store.mark([table], writer, 5).result()
    regions[region].store.clear([table], writer).result()


@pytest.fixture(autouse=True)
def table(region: str) -> Iterator[MarkedTable]:
    marked = MarkedTable(request("a").keys, frozenset(), whole=True)
    regions[region].store.invalidate([marked])
    yield marked
    regions[region].store.delete([key for batch in regions[region].store.scan("t:{default.devices") for key in batch])


def test_each_read_is_counted_once_by_its_outcome(region: str, table: MarkedTable) -> None:
    read(DIGESTS[0])
    read(DIGESTS[0])
    regions[region].store.invalidate([table])
    read(DIGESTS[0])
    read(DIGESTS[0])  # with which this thread hears how its fill went
    assert flusher.flush()
    seen = stats.usage(region).reads["devices.device", "get"]
    assert (seen.hits, seen.misses, seen.absent, seen.outdated, seen.total) == (2, 2, 1, 1, 4)
    assert (seen.look_up.count, seen.load.count, seen.fill.count) == (4, 2, 2)
    assert seen.fills == 2
    assert seen.bytes > 0


def test_what_was_not_counted_is_zero() -> None:
    assert (Reads.of({}), Writes.of({}), DeliveryStats.of({})) == (Reads(), Writes(), DeliveryStats())


def test_what_went_past_the_cache_is_no_hit_in_the_specifications_figures(region: str, table: MarkedTable) -> None:
    """`misses` of get_cache_metrics() are all reads that the database has answered, or the rate would look better."""
    read(DIGESTS[0])
    read(DIGESTS[0])
    regions[region].store.mark([table], b"writer00", 60.0).result()
    read(DIGESTS[0])
    read(DIGESTS[1])
    assert flusher.flush()
    metrics = CacheMonitor(region).get_cache_metrics()
    assert (metrics.hits, metrics.misses, metrics.total_operations) == (1, 3, 4)


def test_entries_that_nobody_reads_are_told_from_a_sample(region: str) -> None:
    assert 2 < len(FOLLOWED) < 40  # a sixteenth of them
    for name in FOLLOWED:
        read(name)
    for name in FOLLOWED[:2]:
        read(name)
        read(name)
    assert flusher.flush()
    seen = stats.usage(region, hours=1).reads["devices.device", "get"]
    assert (seen.sampled_fills, seen.sampled_used) == (len(FOLLOWED), 2)
    assert seen.unused_share == pytest.approx(1 - 2 / len(FOLLOWED))


def test_the_first_read_of_an_entry_counts_once_for_all_processes(region: str) -> None:
    read(FOLLOWED[0])
    for _ in range(3):  # processes: each has its own memory of what it has told
        read(FOLLOWED[0])
        assert Flusher().flush()
        counters.reset()
    assert stats.usage(region, hours=1).reads["devices.device", "get"].sampled_used == 1


@BOTH_WAYS
def test_look_ups_and_fills_are_counted_alike_one_by_one_and_at_once(
    region: str, table: MarkedTable, monkeypatch: pytest.MonkeyPatch, read_all: Readers
) -> None:
    names = [*FOLLOWED[:3], *(name for name in DIGESTS[:20] if name not in FOLLOWED)]
    size = len(names)
    for _ in range(2):
        read_all(names, rows)
    write(region, table)
    read_all(names, rows)
    monkeypatch.setattr(conf, "early_refresh", 1e18)  # every reader finds it time to refresh
    read_all(names, rows)
    seen = counted(region)
    assert (seen.hits, seen.misses, seen.bypasses) == (size, 3 * size, 0)
    assert (seen.absent, seen.outdated, seen.early) == (size, size, size)
    assert (seen.fills, seen.sampled_fills, seen.stale_fills) == (3 * size, 9, 0)
    assert stats.usage(region, hours=1).reads["devices.device", "get"].sampled_used == 3
    assert seen.fill.count > 0


@BOTH_WAYS
def test_reads_beside_a_writer_bypass_the_cache(region: str, table: MarkedTable, read_all: Readers) -> None:
    writer = os.urandom(VERSION_BYTES)
    regions[region].store.mark([table], writer, 5).result()
    read_all(DIGESTS[:3], rows)
    regions[region].store.clear([table], writer).result()
    seen = counted(region)
    assert (seen.hits, seen.misses, seen.bypasses, seen.fills) == (0, 0, 3, 0)


def test_an_outdated_entry_that_is_taken_is_counted_once(region: str, table: MarkedTable) -> None:
    outdated = request(DIGESTS[0])._replace(profile=Profile(timeout=300, level="stale_ok", seconds=60.0))
    for _ in range(2):
        fetch(outdated, rows)
    writer = os.urandom(VERSION_BYTES)
    regions[region].store.mark([table], writer, 60.0).result()
    with collect_request_stats() as seen:
        assert list(fetch(outdated, list)) == rows()
    regions[region].store.clear([table], writer).result()
    assert (counted(region).stale, seen.hits) == (1, 1)


def test_what_the_process_answers_itself_is_a_look_up_of_that_time(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.perf_counter()
    wanted, store = request(DIGESTS[0]), regions[region].store
    fetch(wanted, rows)
    (payload,) = store.read([wanted.entry])
    assert payload is not None
    entry = decode(payload, wanted.entry)
    monkeypatch.setattr(store, "near", SimpleNamespace(find=lambda key, seconds: entry))
    assert near_rows(wanted) == rows()
    monkeypatch.undo()
    assert 0 <= counted(region).look_up.seconds <= time.perf_counter() - began


def test_only_what_a_region_was_asked_and_did_not_answer_is_an_error(region: str) -> None:
    for error in (None, CircuitOpen("open"), StoreUnavailable("away"), CommandRefused("no")):
        count_bypass("devices.device:get", error)
    seen = counted(region)
    assert (seen.bypasses, seen.errors) == (4, 2)


@BOTH_WAYS
@pytest.mark.parametrize("overtaken", [True, False])
def test_a_fill_that_a_write_has_overtaken_is_a_stale_one(
    region: str, table: MarkedTable, read_all: Readers, overtaken: bool
) -> None:
    def load() -> list[Any]:
        if overtaken:
            write(region, table)
        return rows()

    read_all(DIGESTS[:1], load)
    seen = counted(region)
    assert (seen.fills, seen.stale_fills) == (1, int(overtaken))
    read_all(DIGESTS[:1], rows)
    assert counted(region).outdated == int(overtaken)


def test_a_fill_under_a_mark_that_stands_is_a_stale_one(region: str, table: MarkedTable) -> None:
    writer = os.urandom(VERSION_BYTES)

    def load() -> list[Any]:
        regions[region].store.mark([table], writer, 5).result()
        return rows()

    one_by_one(DIGESTS[:1], load)
    assert counted(region).stale_fills == 1
    regions[region].store.clear([table], writer).result()


def test_the_last_fill_of_a_thread_that_ends_is_counted(region: str, table: MarkedTable) -> None:
    store, answered = regions[region].store, threading.Event()

    def load() -> list[Any]:
        write(region, table)
        return rows()

    def work() -> None:
        one_by_one(DIGESTS[:1], load)
        assert answered.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    entry = request(DIGESTS[0]).entry
    deadline = time.monotonic() + 10
    while store.read([entry]) == [None] and time.monotonic() < deadline:
        time.sleep(0.005)
    store.read([entry])  # by now the server has answered the thread, too
    answered.set()
    thread.join()
    seen = counted(region)
    assert (seen.misses, seen.fills, seen.stale_fills) == (1, 1, 1)


@pytest.fixture
def spans(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)  # it can be set once a process
    settings.CACHEOPS_TRACING = True  # has the provider looked for
    yield kept
    monkeypatch.undo()
    tracing.start_span = None


def test_a_look_up_is_a_span(region: str, spans: InMemorySpanExporter) -> None:
    read(DIGESTS[0])
    read(DIGESTS[0])
    miss, hit = spans.get_finished_spans()
    assert {miss.name, hit.name} == {SPAN}
    assert dict(hit.attributes or {}) == {
        "cacheops.region": region,
        "cacheops.model": "devices.device",
        "cacheops.operation": "get",
        "cacheops.hit": True,
    }
    assert miss.attributes
    assert miss.attributes["cacheops.hit"] is False


def test_there_are_no_spans_where_the_setting_says_so(spans: InMemorySpanExporter, settings: Any) -> None:
    settings.CACHEOPS_TRACING = False
    read(DIGESTS[0])
    assert spans.get_finished_spans() == ()


def test_there_are_no_spans_without_the_package(
    spans: InMemorySpanExporter, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "cacheops.instrumentation.opentelemetry")
    settings.CACHEOPS_TRACING = True
    read(DIGESTS[0])
    assert spans.get_finished_spans() == ()


def test_there_is_no_tracer_where_nobody_records(settings: Any) -> None:
    settings.CACHEOPS_TRACING = True
    assert tracing.start_span is None
