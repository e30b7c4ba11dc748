"""Recording readings, creating and changing devices, on the suite's database."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.changes import change_device, create_device
from devices.models import Device, Reading, Status
from devices.services import (
    DEVICES_A_STATEMENT,
    MAX_VALUE,
    InvalidReadings,
    NewReading,
    Recorded,
    advance_devices,
    record_readings,
)
from locations.models import Location

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def make_device(serial: str = "t-1", metric: str = "temperature") -> Device:
    location, _ = Location.objects.get_or_create(code="yard", defaults={"name": "Yard"})
    return create_device(location, serial=serial, name=serial, kind="thermometer", metric=metric)


def shown(device: Device) -> tuple[datetime | None, float | None]:
    device.refresh_from_db()
    return device.last_seen, device.current_value


@pytest.mark.django_db
class TestRecordReadings:
    def test_stores_a_reading_with_the_unit_of_its_metric(self):
        device = make_device()
        assert record_readings([NewReading(device.pk, "temperature", 21.5, NOON)]) == Recorded(new=1, known=0)
        stored = Reading.objects.get()
        assert (stored.device, stored.value, stored.unit, stored.taken_at) == (device, 21.5, "°C", NOON)

    def test_a_repeated_reading_is_known_and_left_as_it_is(self):
        device = make_device()
        record_readings([NewReading(device.pk, "temperature", 21.5, NOON)])
        again = [NewReading(device.pk, "temperature", 99, NOON), NewReading(device.pk, "temperature", 20, NOON + HOUR)]
        assert record_readings(again) == Recorded(new=1, known=1)
        assert Reading.objects.get(taken_at=NOON).value == 21.5

    def test_of_two_alike_in_one_call_the_first_is_stored(self):
        device = make_device()
        twice = [NewReading(device.pk, "temperature", 1, NOON), NewReading(device.pk, "temperature", 2, NOON)]
        assert record_readings(twice) == Recorded(new=1, known=1)
        assert Reading.objects.get().value == 1

    def test_a_moment_is_the_same_in_every_time_zone(self):
        device = make_device()
        record_readings([NewReading(device.pk, "temperature", 1, NOON)])
        local = NOON.astimezone(timezone.get_fixed_timezone(480))
        assert record_readings([NewReading(device.pk, "temperature", 1, local)]).known == 1

    def test_nothing_to_record(self):
        assert record_readings([]) == Recorded(new=0, known=0)

    def test_a_device_shows_its_newest_reading_only(self):
        device = make_device()
        record_readings(NewReading(device.pk, "temperature", hour, NOON + hour * HOUR) for hour in (1, 3, 2))
        assert shown(device) == (NOON + 3 * HOUR, 3)
        record_readings([NewReading(device.pk, "temperature", 0, NOON)])
        assert shown(device) == (NOON + 3 * HOUR, 3)

    def test_a_device_shows_its_own_metric_only(self):
        device = make_device()
        record_readings([NewReading(device.pk, "humidity", 40, NOON)])
        assert Reading.objects.count() == 1
        assert shown(device) == (None, None)

    @pytest.mark.uncached
    def test_many_devices_in_a_constant_number_of_statements(self, django_assert_max_num_queries):
        devices = [make_device(f"t-{number}") for number in range(DEVICES_A_STATEMENT)]
        batch = [NewReading(device.pk, "temperature", device.pk, NOON) for device in devices]
        # savepoint and its release, lock, look-up, insert (two on SQLite), update
        with django_assert_max_num_queries(7):
            assert record_readings(batch).new == len(devices)
        assert all(shown(device) == (NOON, device.pk) for device in devices)

    def test_more_devices_than_fit_into_one_statement(self):
        location = Location.objects.create(code="yard", name="Yard")
        devices = Device.objects.bulk_create(
            Device(location=location, serial=f"t-{number}", name="T", kind="thermometer", metric="temperature")
            for number in range(DEVICES_A_STATEMENT * 2 + 1)
        )
        record_readings(NewReading(device.pk, "temperature", device.pk, NOON) for device in devices)
        assert all(shown(device) == (NOON, device.pk) for device in devices)

    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            ("metric", {"metric": "mood"}),
            ("unit", {"unit": "°F"}),
            ("value", {"value": float("nan")}),
            ("value", {"value": float("-inf")}),
            ("value", {"value": 1.7e308}),
            ("value", {"value": -1.1 * MAX_VALUE}),
            ("taken_at", {"taken_at": NOON.replace(tzinfo=None)}),
            ("taken_at", {"taken_at": datetime(1970, 1, 1, tzinfo=UTC)}),
            ("taken_at", {"taken_at": timezone.now() + 2 * HOUR}),
            ("device", {"device_id": 10**9}),
        ],
    )
    def test_an_invalid_reading_is_named_and_nothing_is_stored(self, field, wrong):
        device = make_device()
        good = {"device_id": device.pk, "metric": "temperature", "value": 1.0, "taken_at": NOON}
        with pytest.raises(InvalidReadings) as caught:
            record_readings([NewReading(**good), NewReading(**good | wrong)])
        assert [(error.index, error.field) for error in caught.value.errors] == [(1, field)]
        assert not Reading.objects.exists()
        assert shown(device) == (None, None)

    def test_every_invalid_reading_is_reported(self):
        device = make_device()
        with pytest.raises(InvalidReadings) as caught:
            record_readings(NewReading(device.pk, "temperature", float("inf"), NOON) for _ in range(3))
        assert [error.index for error in caught.value.errors] == [0, 1, 2]


@pytest.mark.django_db(transaction=True)
def test_of_many_recorders_at_once_each_reading_is_stored_once_and_the_newest_stays():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    devices = [make_device(f"t-{number}") for number in range(3)]
    hours, recorders = range(25), 4
    together = threading.Barrier(recorders, timeout=30)
    counts: list[int] = []

    def record(number: int) -> None:
        try:
            # All name the same readings at once, each in another order: only one order of locks is safe.
            turned = devices[number % 3 :] + devices[: number % 3]
            for hour in hours:
                batch = [NewReading(device.pk, "temperature", hour, NOON + hour * HOUR) for device in turned]
                together.wait()
                counts.append(record_readings(batch).new)
        finally:
            connection.close()

    threads = [threading.Thread(target=record, args=[number]) for number in range(recorders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Reading.objects.count() == sum(counts) == len(devices) * len(hours)
    assert all(shown(device) == (NOON + 24 * HOUR, 24) for device in devices)


@pytest.mark.django_db(transaction=True)
def test_an_older_reading_never_replaces_a_newer_one_that_was_written_meanwhile():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    from django.db import transaction

    device = make_device()
    pair = (device.pk, "temperature")

    def write_older() -> None:
        try:
            advance_devices({pair: (NOON, 1)})
        finally:
            connection.close()

    thread = threading.Thread(target=write_older)
    with transaction.atomic():
        advance_devices({pair: (NOON + HOUR, 2)})
        thread.start()  # waits for this transaction's lock, having seen the device as it was before
        with connection.cursor() as cursor:
            while thread.is_alive():
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0]:
                    break
    thread.join()
    assert shown(device) == (NOON + HOUR, 2)


@pytest.mark.django_db
class TestDevices:
    def test_a_device_is_created_with_all_that_is_given(self):
        location = Location.objects.create(code="yard", name="Yard")
        given = {"serial": "h-1", "name": "Hall", "kind": "hygrometer", "metric": "humidity", "metadata": {"floor": 2}}
        device = Device.objects.get(pk=create_device(location, **given).pk)
        assert {name: getattr(device, name) for name in given} == given
        assert (device.status, device.last_seen) == (Status.ACTIVE, None)

    def test_each_wrong_field_is_named(self):
        make_device("taken")
        with pytest.raises(ValidationError) as caught:
            make_device("taken", metric="mood")
        assert set(caught.value.message_dict) == {"serial", "metric"}

    @pytest.mark.parametrize("field", ["serial", "current_value", "id"])
    def test_what_may_not_be_changed_is_refused(self, field):
        with pytest.raises(ValidationError) as caught:
            change_device(make_device(), **{field: 1})
        assert set(caught.value.message_dict) == {field}

    def test_a_change_writes_the_changed_fields_and_no_others(self):
        device = make_device()
        record_readings([NewReading(device.pk, "temperature", 5, NOON)])
        changed = change_device(device, name="Roof", status=Status.MAINTENANCE)
        assert (changed.name, changed.status, changed.current_value) == ("Roof", Status.MAINTENANCE, 5)
        assert shown(device) == (NOON, 5)

    def test_a_wrong_change_changes_nothing(self):
        device = make_device()
        with pytest.raises(ValidationError):
            change_device(device, name="Roof", status="asleep")
        assert Device.objects.get(pk=device.pk).name == "t-1"

    def test_another_metric_shows_the_newest_reading_of_that_one(self):
        device = make_device()
        record_readings(
            [
                NewReading(device.pk, "temperature", 5, NOON + HOUR),
                NewReading(device.pk, "humidity", 40, NOON),
            ]
        )
        assert change_device(device, metric="humidity").current_value == 40
        assert shown(device) == (NOON, 40)
        change_device(device, metric="pressure")
        assert shown(device) == (None, None)

    @pytest.mark.servers
    def test_the_row_is_locked_before_it_is_compared(self):
        """Or a change that another writer has just made would count as made by this one, or as not needed."""
        device = make_device()
        with CaptureQueriesContext(connection) as queries:
            change_device(device, name="Roof")
        reads = [one["sql"] for one in queries if one["sql"].startswith("SELECT") and "devices_device" in one["sql"]]
        assert "FOR NO KEY UPDATE" in reads[0]
