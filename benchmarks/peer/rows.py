"""The rows: 200 locations with 100 devices each, and the statements that bring them back."""

import datetime as dt

from django.db import connection
from sensors.models import Device, Location

LOCATIONS = 200
DEVICES_EACH = 100
SPARE_LOCATION = 150  # bulk_create adds its devices here, where nothing else is read
UNRELATED_DEVICE = 190 * DEVICES_EACH  # of location 190, of which no query is cached
KINDS = ("thermometer", "hygrometer", "barometer", "anemometer")


def device(location: int, serial: str, number: int) -> Device:
    """Return an unsaved device that looks like a real one."""
    return Device(
        location_id=location,
        serial=serial,
        name=f"Sensor {number} on the east roof",
        kind=KINDS[number % 4],
        metric="temperature",
        status="active" if number % 10 else "offline",
        metadata={"firmware": "2.4.1", "floor": number % 7},
        installed=dt.date(2024, 1 + number % 12, 1),
        last_seen=dt.datetime(2025, 6, 1, 12, number % 60, tzinfo=dt.UTC),
        current_value=20.0 + number % 15,
    )


def create() -> None:
    """Make the tables and fill them."""
    with connection.schema_editor() as editor:
        editor.create_model(Location)
        editor.create_model(Device)
    Location.objects.bulk_create(
        [Location(name=f"Location {i}", code=f"location-{i}") for i in range(1, LOCATIONS + 1)]
    )
    numbers = range(LOCATIONS * DEVICES_EACH)
    Device.objects.bulk_create(
        [device(1 + number // DEVICES_EACH, f"serial-{number}", number) for number in numbers], batch_size=2000
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def remove_spare(raw) -> None:
    """Delete what bulk_create added, on a connection that no cache watches."""
    raw.execute("DELETE FROM sensors_device WHERE location_id = %s", [SPARE_LOCATION])
    raw.execute("VACUUM sensors_device")
