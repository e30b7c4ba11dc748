"""What the engine counts of real reads and writes, and the spans that it makes of look-ups."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cacheops.engine import fetch
from cacheops.keys import TableKeys, digest
from cacheops.monitoring import figures
from cacheops.monitoring.counters import counters, is_sampled
from cacheops.monitoring.flush import Flusher, flusher
from cacheops.monitoring.tracing import SPAN, tracing
from cacheops.profiles import Profile
from cacheops.regions import regions
from cacheops.request import Request
from cacheops.stores.base import MarkedTable, TableTags

DIGESTS = [digest(str(number).encode()) for number in range(200)]
FOLLOWED = [one for one in DIGESTS if is_sampled(one)]


def request(name: str) -> Request:
    keys = TableKeys.of("t", "default", "devices_device")
    return Request(name, (TableTags(keys, ("id=1",), ("id",)),), Profile(timeout=300), "devices.device:get")


def read(name: str) -> None:
    fetch(request(name), lambda: [(1, "a")])


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
    seen = figures.usage(region).reads["devices.device", "get"]
    assert (seen.hits, seen.misses, seen.absent, seen.outdated, seen.total) == (2, 2, 1, 1, 4)
    assert (seen.look_up.count, seen.load.count, seen.fill.count) == (4, 2, 2)
    assert seen.fills == 2
    assert seen.bytes > 0


def test_entries_that_nobody_reads_are_told_from_a_sample(region: str) -> None:
    assert 2 < len(FOLLOWED) < 40  # a sixteenth of them
    for name in FOLLOWED:
        read(name)
    for name in FOLLOWED[:2]:
        read(name)
        read(name)
    assert flusher.flush()
    seen = figures.usage(region, hours=1).reads["devices.device", "get"]
    assert (seen.sampled_fills, seen.sampled_used) == (len(FOLLOWED), 2)
    assert seen.unused_share == pytest.approx(1 - 2 / len(FOLLOWED))


def test_the_first_read_of_an_entry_counts_once_for_all_processes(region: str) -> None:
    read(FOLLOWED[0])
    for _ in range(3):  # processes: each has its own memory of what it has told
        read(FOLLOWED[0])
        assert Flusher().flush()
        counters.reset()
    assert figures.usage(region, hours=1).reads["devices.device", "get"].sampled_used == 1


@pytest.fixture
def spans(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)  # it can be set once a process
    settings.CACHEOPS_TRACING = True  # has the provider looked for
    yield kept
    monkeypatch.undo()
    tracing.tracer = None


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


def test_there_is_no_tracer_where_nobody_records(settings: Any) -> None:
    settings.CACHEOPS_TRACING = True
    assert tracing.tracer is None
