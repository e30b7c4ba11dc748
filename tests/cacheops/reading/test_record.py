"""Records of what a block reads: whole where entries alone have answered it, unchanged while it would read the same."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from django.core.cache import caches
from django.db import connection, transaction
from django.utils import timezone

from cacheops import ReadRecord, bypassed, record_reads
from cacheops.exceptions import StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.monitoring import collect_request_stats
from cacheops.patterns import AsideEntry, CacheAsideManager
from cacheops.patterns.write_behind.buffer import Buffer
from cacheops.reading.notes import as_bytes, current_notes
from cacheops.regions import Region, regions
from cacheops.regions.switches import switches
from cacheops.stores.base import EncodedEntry
from devices.buffering import reading_buffer
from devices.models import Device, Kind
from devices.services import NewReading
from locations.models import Location

pytestmark = pytest.mark.django_db(transaction=True)
aside = CacheAsideManager()


@pytest.fixture
def _one_device(db: None) -> None:
    harbor = Location.objects.create(name="Harbor", code="harbor")
    Device.objects.create(location=harbor, serial="H-1", name="Quay", kind=Kind.THERMOMETER, metric="temperature")


def names() -> list[str]:
    return [device.name for device in Device.objects.filter(serial__in=["H-1", "H-2"]).order_by("pk")]


def read() -> object:
    """Read an instance, a list, a number, several values, one of the level near, and what waits in a buffer."""
    place = Location.objects.get(code="harbor")
    values = aside.get_or_set_many(
        [AsideEntry(f"record:{serial}", [Device.objects.filter(serial=serial)]) for serial in ("H-1", "H-2")],
        lambda keys: {key: Device.objects.filter(serial=key.partition(":")[2]).count() for key in keys},
    )
    pending = reading_buffer.newest_many(["1:temperature"])
    return place.name, names(), Device.objects.filter(location=place).count(), values, pending


def recorded(make: Callable[[], object] = read) -> ReadRecord:
    """Record a block that finds all in the cache."""
    for _ in range(3):  # the second fills what only a filled cache lets be read; the third is near
        make()
    with record_reads() as record:
        make()
    return record


@pytest.mark.usefixtures("_one_device")
def test_a_record_holds_until_something_that_was_read_is_written() -> None:
    record = recorded()
    assert record.is_whole
    assert record.size > 100
    with collect_request_stats() as within, record_reads():
        read()
    counted = counters.total("hits")
    with collect_request_stats() as stats:
        assert record.is_unchanged()
    assert stats == within  # look-ups count as if the block had been run
    assert counters.total("hits") - counted == within.hits
    for write in (
        lambda: Device.objects.filter(serial="H-1").update(name="Pier"),
        lambda: Device.objects.create(
            location=Location.objects.get(), serial="H-2", kind=Kind.THERMOMETER, metric="temperature"
        ),
        lambda: Location.objects.update(name="Harbour"),  # of the level near
    ):
        record = recorded()
        assert record.is_unchanged()
        write()
        assert not record.is_unchanged()
        read()
        assert not record.is_unchanged()  # other versions, though it is all there again
    record = recorded()
    Device.objects.filter(serial="H-1").update(status="offline")
    Device.objects.filter(serial="H-1").update(status="active")
    assert not record.is_unchanged()


@contextmanager
def other_prefix() -> Iterator[None]:
    with patch("cacheops.reading.record.conf") as other:
        other.configure_mock(enabled=True, followers={}, prefix="other")
        yield


@contextmanager
def no_answer() -> Iterator[None]:
    with patch.object(Region, "read", side_effect=StoreUnavailable("cut off")):
        yield
    regions.local.breaker.reset()  # which pauses after a failure


BLOCKS: dict[str, Callable[[], Any]] = {
    "a transaction": transaction.atomic,
    "bypassed": bypassed,
    "a pause": lambda: patch.object(switches, "is_paused", return_value=True),
    "no answer": lambda: no_answer(),
    "other names of keys": other_prefix,
    "an early refresh": lambda: patch("cacheops.reading.record.time.time", return_value=4e9),
    "a region made anew": lambda: patch.object(type(regions), "local", Region("other", regions.local.store)),
    "other settings of the session": lambda: patch.object(type(connection.cacheops), "session_key", b"own"),  # type: ignore[attr-defined]
}


@pytest.mark.usefixtures("_one_device")
def test_a_record_says_nothing_where_reads_go_elsewhere() -> None:
    record = recorded()
    for name, block in BLOCKS.items():
        with block():
            assert not record.is_unchanged(), name
        assert record.is_unchanged(), name


class BufferedInStore:
    """Stands for the buffer's own connections: its keys lie in the region's store."""

    def run_many(self, commands: Sequence[Any], routes: Sequence[str] = ()) -> list[list[bytes | None]]:
        return [regions.local.store.read(command[1:]) for command in commands]


@pytest.mark.usefixtures("_one_device")
def test_a_record_holds_until_a_write_waits_that_the_block_would_read() -> None:
    buffer = Buffer("co:{write-behind.of-a-test}:", BufferedInStore(), 0, 0.0)  # type: ignore[arg-type]
    payload = reading_buffer.encode(NewReading(1, "temperature", 3.5, timezone.now()))
    with patch.object(type(reading_buffer), "buffer", buffer):
        (key,) = buffer.newest_many(["1:temperature"])
        record = recorded()
        assert record.is_unchanged()
        regions.local.store.fill([EncodedEntry(key, b"1\0" + payload, 60.0)]).result()
        assert not record.is_unchanged()
        assert [one.value for one in reading_buffer.newest_many(["1:temperature", "1:temperature"]).values()] == [3.5]
        assert recorded().is_unchanged()


def past() -> object:
    with bypassed():
        return names()


READS: dict[str, Callable[[], object]] = {
    "another cache": lambda: caches["default"].get("record"),
    "by SQL": lambda: connection.cursor().execute("SELECT 1"),
    "past the cache": past,
    "in a transaction": lambda: in_transaction(),
    "another block that is recorded": lambda: recorded(lambda: reading_buffer.newest_many(["1:temperature"])),
    "what nobody has read": lambda: Device.objects.filter(name=str(timezone.now())).exists(),
    "what was written meanwhile": lambda: (names(), Device.objects.update(notes=str(timezone.now())), names()),
}


def in_transaction() -> None:
    with transaction.atomic():
        Device.objects.update(notes="seen here alone")
        names()


@pytest.mark.usefixtures("_one_device")
def test_a_record_is_whole_only_where_entries_have_answered() -> None:
    for name, make in READS.items():
        record = recorded(make)
        assert not record.is_whole, name
        assert not record.is_unchanged(), name
    assert recorded(names).is_whole
    empty = recorded(lambda: None)
    assert empty.is_whole
    assert empty.is_unchanged()


@pytest.mark.usefixtures("_one_device")
def test_two_answers_to_one_look_up_are_no_record() -> None:
    names()
    with record_reads() as record:
        names()
        key = next(key for key, value in record.notes.values.items() if value)
        record.notes.values[key] = b"what it was when it was read first"
        names()
    assert not record.is_whole


def test_a_block_that_fails_leaves_no_record() -> None:
    found: list[ReadRecord] = []

    def fail() -> None:
        with record_reads() as record:
            found.append(record)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not found[0].is_whole
    assert current_notes() is None


def test_rows_are_told_apart_by_their_types() -> None:
    assert len({as_bytes(rows) for rows in ([(1,)], [(1.0,)], [(True,)], [("1",)], [(1,), (1,)], [(1, 1)], [])}) == 7
