"""What the browser looks at: two locations, forty devices, a day of readings with a gap."""

from datetime import timedelta

from django.utils import timezone

from devices.models import Device, Excursion, Kind, Reading, Status, Threshold
from locations.models import Location, Membership, Role
from users.models import User

KINDS = (
    (Kind.THERMOMETER, "temperature", 18.0),
    (Kind.HYGROMETER, "humidity", 61.0),
    (Kind.BAROMETER, "pressure", 1013.2),
    (Kind.PARTICLE_COUNTER, "pm25", 14.0),
)


def make_world() -> None:
    ann = User.objects.create_user("ann", password="a good pass phrase", first_name="Ann", last_name="Fielding")
    places = [
        Location.objects.create(
            name="Harbor Quay North", code="harbor", region="us-west-2", timezone="America/Los_Angeles"
        ),
        Location.objects.create(name="Ridge", code="ridge", region="us-east-2"),
    ]
    for place, role in zip(places, (Role.OPERATOR, Role.MANAGER), strict=True):
        Membership.objects.create(user=ann, location=place, role=role)
    now = timezone.now().replace(second=0, microsecond=0)
    devices = [make_device(places[number // 36], number, now) for number in range(40)]
    Reading.objects.bulk_create(
        Reading(
            device=device, metric=device.metric, unit="",
            value=device.current_value + step % 7, taken_at=now - timedelta(minutes=15 * step),
        )
        for device in devices[:4]
        for step in range(90)
        if not 30 < step < 45
    )  # fmt: skip
    threshold = Threshold.objects.create(location=places[0], metric="pressure", low=950, high=1_010, notify="operator")
    beyond = {"metric": "pressure", "bound": 1_010, "extreme": 1_013.2, "began_at": now}
    Excursion.objects.create(threshold=threshold, device=devices[2], location=places[0], **beyond)


def make_device(place: Location, number: int, now) -> Device:
    kind, metric, value = KINDS[number % len(KINDS)]
    return Device.objects.create(
        location=place,
        serial=f"XYZ-{number:03}",
        name=f"{kind.label} {number:02}",
        kind=kind,
        metric=metric,
        status=list(Status)[number % 4] if number > 30 else Status.ACTIVE,
        metadata={"model": "T-800", "height_m": 2.5},
        current_value=value,
        last_seen=now - timedelta(minutes=number),
    )
