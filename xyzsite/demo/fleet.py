"""The demo's devices at work: they post what they measure, through the API, so that the demo does not fall silent."""

import threading
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta

from django.db import transaction

from locations.models import Location, Membership, Role
from users.models import ApiToken, User
from xyzsite.demo.curves import Moment, value_at
from xyzsite.demo.load.calls import Caller
from xyzsite.demo.places import PLACES, TROUBLES, Place, Sensor, sensors_of, serial_of

NAME = "demo-fleet"
SECONDS = 1.0  # from one reading to the next, whichever device's it is

FleetDevice = tuple[Place, Sensor]


def fleet() -> list[FleetDevice]:
    """Return the demo's devices that work, neighbours far from each other."""
    devices = [(place, sensor) for place in PLACES for sensor in sensors_of(place)]
    working = [(place, sensor) for place, sensor in devices if (place.code, sensor.metric) not in TROUBLES]
    return sorted(working, key=lambda device: zlib.crc32(serial_of(*device).encode()))


def make_token() -> str:
    """Return a token of the fleet's account, an operator at the demo's locations; earlier ones are gone."""
    with transaction.atomic():
        end_tokens()
        account, _ = User.objects.get_or_create(username=NAME, defaults={"password": "!", "first_name": "Demo fleet"})
        places = Location.objects.filter(code__in=[place.code for place in PLACES]).exclude(memberships__user=account)
        Membership.objects.bulk_create(Membership(user=account, location=place, role=Role.OPERATOR) for place in places)
        _, secret = ApiToken.issue(account, NAME)
    return secret


def end_tokens() -> None:
    ApiToken.objects.filter(user__username=NAME).delete()


def post(sites: Mapping[str, str], token: str, devices: Sequence[FleetDevice], stopped: threading.Event) -> None:
    """Post for one device after the other until stopped, each to its own region's site, else to the first.

    `sites` are addresses by region. A reading that is not accepted, as where a device or a site is gone, is dropped.
    """
    since = timedelta(seconds=len(devices) * SECONDS)
    headers = {"Authorization": f"Bearer {token}"}
    with ExitStack() as stack:
        callers = {region: stack.enter_context(closing(Caller(url, headers))) for region, url in sites.items()}
        first = next(iter(callers.values()))
        while True:
            for place, sensor in devices:
                if stopped.wait(SECONDS):
                    return
                now = datetime.now(UTC)
                reading = {"value": value_at(sensor.metric, Moment(place, now), since), "taken_at": now.isoformat()}
                caller = callers.get(place.region, first)
                caller.post(f"/api/devices/{serial_of(place, sensor)}/readings", reading)
