"""What a load run needs in the database: a location with devices, and a user that posts and browses."""

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.utils.module_loading import import_string

from devices.models import Device, Kind, Reading
from locations.models import Location
from users.models import ApiToken, User
from xyzsite.demo.load.fleet import LoadDevice, World

NAME = "load-test"
METRIC = "temperature"


def make_world(count: int) -> World:
    """Make a location with `count` devices, a member of staff, a token and a session of theirs."""
    with transaction.atomic():
        remove_world()
        location = Location.objects.create(code=NAME, name="Load test", region=settings.XYZ_REGION)
        devices = Device.objects.bulk_create(
            Device(
                location=location,
                serial=f"LOAD-{number:04}",
                name=f"Load {number}",
                kind=Kind.THERMOMETER,
                metric=METRIC,
            )
            for number in range(count)
        )
        user = User.objects.create_user(NAME, is_staff=True)
        _, secret = ApiToken.issue(user, "demo_load")
    return World([LoadDevice(device.pk, device.serial, METRIC) for device in devices], secret, session_cookie(user))


def session_cookie(user: User) -> str:
    """Sign a user in, as the sign-in page does, and return the cookie."""
    session: SessionBase = import_string(f"{settings.SESSION_ENGINE}.SessionStore")()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]  # which has people; the first only refuses
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def remove_world() -> None:
    """Remove all that `make_world` made, and the readings."""
    Reading.objects.filter(device__location__code=NAME).delete()
    Device.objects.filter(location__code=NAME).delete()
    Location.objects.filter(code=NAME).delete()
    User.objects.filter(username=NAME).delete()
