"""Readings without order: seeded values at odd moments, of several devices, kinds, metrics and places."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from devices.models import Device, Kind, Reading, Status
from locations.models import Location

# Around the night when New York's clocks go back: the hardest month for buckets.
NEWEST = datetime(2016, 11, 20, 17, 42, 11, tzinfo=UTC)


@pytest.fixture
def readings(db: None) -> list[Reading]:
    """Return some 1 500 readings of 6 devices in 2 places, over 35 days, as they stand in the database."""
    chance = random.Random(20161120)
    rows: list[Reading] = []
    for place in ("harbor", "ridge"):
        location = Location.objects.create(name=place.title(), code=place)
        for metric, kind in (
            ("temperature", Kind.THERMOMETER),
            ("temperature", Kind.HYGROMETER),
            ("pm25", Kind.PARTICLE_COUNTER),
        ):
            device = Device.objects.create(
                location=location, serial=f"{place}-{kind}", name=kind.label, kind=kind, metric=metric,
                status=Status.ACTIVE, last_seen=NEWEST,
            )  # fmt: skip
            moments = {NEWEST} | {NEWEST - timedelta(seconds=chance.randrange(35 * 86_400)) for _ in range(200)}
            # Half of all in the newest day, so that short windows have something to count.
            moments |= {NEWEST - timedelta(seconds=chance.randrange(86_400)) for _ in range(50)}
            moments |= {NEWEST.replace(second=0, microsecond=0) - timedelta(minutes=15 * step) for step in range(20)}
            rows += [
                Reading(device=device, metric=metric, unit="", value=chance.uniform(-20, 40), taken_at=moment)
                for moment in moments
            ]
    Reading.objects.bulk_create(rows)
    return list(Reading.objects.select_related("device__location"))
