"""The readings' table: partitioned on PostgreSQL, plain on SQLite, the same to the ORM."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from devices.models import Device, Kind, Reading
from locations.models import Location
from tests.documents.texts import blocks

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EARLIER = NOON.replace(year=2020)

pytestmark = pytest.mark.django_db
postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has partitions")

# docs/how-to/import-readings.md; a test is one transaction by itself.
(RECIPE,) = [block.text for block in blocks() if block.language == "sql"]
ATTACH_2026 = RECIPE.removeprefix("BEGIN;\n").removesuffix("COMMIT;\n")


@pytest.fixture
def device() -> Device:
    location = Location.objects.create(code="yard", name="Yard")
    return Device.objects.create(location=location, serial="t-1", name="T", kind=Kind.THERMOMETER, metric="temperature")


def reading(device: Device, taken_at: datetime, value: float = 1) -> Reading:
    return Reading(device=device, metric="temperature", value=value, unit="°C", taken_at=taken_at)


def rows_of(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ONLY {table}")
        return cursor.fetchone()[0]


def attach_2026() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a test is one transaction; a deployment's recipe is not
        for statement in ATTACH_2026.split(";\n"):
            if statement.strip():
                cursor.execute(statement)


@postgresql
class TestPartitions:
    def test_without_partitions_of_their_own_readings_go_to_the_default_one(self, device):
        reading(device, NOON).save()
        assert rows_of("devices_reading_default") == 1

    def test_a_year_can_be_attached_and_takes_its_readings_along(self, device):
        Reading.objects.bulk_create([reading(device, NOON), reading(device, NOON.replace(year=2025))])
        attach_2026()
        reading(device, NOON + HOUR).save()
        assert (rows_of("devices_reading_default"), rows_of("devices_reading_2026")) == (1, 2)
        assert Reading.objects.count() == 3

    def test_an_attached_year_keeps_the_tables_rules(self, device):
        reading(device, NOON).save()
        attach_2026()
        with pytest.raises(IntegrityError), transaction.atomic():
            reading(device, NOON).save()
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 'devices_reading_2026'")
            assert cursor.fetchone()[0] == 3

    def test_a_question_about_one_year_reads_that_years_partition_only(self, device):
        attach_2026()
        year = Reading.objects.filter(device=device, metric="temperature", taken_at__range=(NOON, NOON + HOUR))
        plan = year.explain()
        assert "devices_reading_2026" in plan
        assert "devices_reading_default" not in plan

    def test_ids_come_from_one_sequence_that_the_table_owns(self, device):
        attach_2026()
        first, second = (Reading.objects.create(device=device, value=1, taken_at=at) for at in (NOON, EARLIER))
        assert second.pk == first.pk + 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_get_serial_sequence('devices_reading', 'id')")
            assert cursor.fetchone()[0] == "public.devices_reading_id_seq"

    def test_a_device_that_does_not_exist_is_refused(self, device):
        stray = reading(device, NOON)
        stray.device_id = 10**9
        stray.save()
        with pytest.raises(IntegrityError), transaction.atomic():
            connection.check_constraints()
        Reading.objects.all().delete()


class TestOrm:
    def test_a_reading_is_saved_changed_and_deleted_by_its_id(self, device):
        stored = reading(device, NOON)
        stored.save()
        stored.value = 2
        stored.taken_at = NOON + HOUR
        stored.save()
        assert Reading.objects.get(pk=stored.pk).value == 2
        stored.delete()
        assert not Reading.objects.exists()

    def test_a_reading_may_move_to_another_partition(self, device):
        if connection.vendor == "postgresql":
            attach_2026()
        stored = reading(device, NOON)
        stored.save()
        Reading.objects.filter(pk=stored.pk).update(taken_at=EARLIER)
        assert Reading.objects.get(pk=stored.pk).taken_at.year == 2020

    def test_ids_come_back_from_bulk_create(self, device):
        made = Reading.objects.bulk_create(reading(device, NOON + hour * HOUR) for hour in range(3))
        assert {each.pk for each in made} == set(Reading.objects.values_list("pk", flat=True))

    def test_the_same_moment_twice_is_refused_ignored_or_updated_as_asked(self, device):
        reading(device, NOON, 1).save()
        with pytest.raises(IntegrityError), transaction.atomic():
            Reading.objects.bulk_create([reading(device, NOON, 2)])
        Reading.objects.bulk_create([reading(device, NOON, 3)], ignore_conflicts=True)
        assert Reading.objects.get().value == 1
        Reading.objects.bulk_create(
            [reading(device, NOON, 4)],
            update_conflicts=True,
            unique_fields=["device", "metric", "taken_at"],
            update_fields=["value"],
        )
        assert Reading.objects.get().value == 4

    def test_bulk_update_and_the_deletion_of_a_device(self, device):
        made = Reading.objects.bulk_create(reading(device, NOON + hour * HOUR) for hour in range(3))
        for each in made:
            each.value = each.pk
        assert Reading.objects.bulk_update(made, ["value"]) == 3
        device.delete()
        assert not Reading.objects.exists()
