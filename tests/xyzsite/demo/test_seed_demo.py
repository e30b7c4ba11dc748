"""manage.py seed_demo: deterministic, idempotent, and careful with what people have changed."""

import hashlib
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from devices.models import Device, Reading, Status
from devices.services import NewReading, record_readings
from locations.models import Location, Membership
from users.models import User
from xyzsite.demo.people import DEMO_LOGINS
from xyzsite.demo.places import PLACES
from xyzsite.demo.seed import top_up

pytestmark = pytest.mark.django_db

UNTIL = datetime(2026, 5, 4, 12, 35, tzinfo=UTC)


def seed(*arguments: str, until: datetime | None = UNTIL, days: int = 1) -> str:
    said = io.StringIO()
    given = ["--until", until.isoformat()] if until else []
    call_command("seed_demo", *given, "--days", str(days), *arguments, stdout=said)
    return said.getvalue()


def contents() -> str:
    """Return a digest of all that was seeded."""
    digest = hashlib.sha256()
    for rows in (
        Location.objects.order_by("code").values_list("code", "name", "region", "timezone"),
        Device.objects.order_by("serial").values_list("serial", "status", "metadata", "last_seen", "current_value"),
        Reading.objects.order_by("device__serial", "taken_at").values_list("device__serial", "taken_at", "value"),
        Membership.objects.order_by("user", "location").values_list("user__username", "location__code", "role"),
    ):
        digest.update(repr(list(rows)).encode())
    return digest.hexdigest()


def test_it_fills_three_regions_and_says_so():
    said = seed()
    assert said.startswith(f"Added {len(PLACES)} locations, {Device.objects.count()} devices, ")
    assert f"{Reading.objects.count():,} readings, 4 people." in said
    assert set(Location.objects.values_list("region", flat=True)) == {"us-east-1", "us-west-2", "us-east-2"}
    for place in Location.objects.all():
        place.full_clean()
        assert 6 <= place.devices.count() <= 8
    for device in Device.objects.all():
        device.full_clean()
        assert device.metadata["model"]


def test_the_same_call_gives_the_same_data():
    seed()
    first = contents()
    User.objects.all().delete()
    Device.objects.all().delete()
    Location.objects.all().delete()
    seed()
    assert contents() == first


def test_again_it_changes_nothing_and_says_so():
    seed()
    first = contents()
    assert seed() == "The demo data is there; nothing was added.\n"
    assert contents() == first


def test_every_window_has_readings_and_devices_show_the_newest():
    seed(days=3)
    device = Device.objects.filter(status=Status.ACTIVE).first()
    newest = device.readings.first()
    assert (device.last_seen, device.current_value) == (newest.taken_at, newest.value)
    assert newest.taken_at == UNTIL
    assert device.readings.filter(taken_at__gt=UNTIL - timedelta(hours=1)).count() == 12
    assert device.readings.filter(taken_at__lte=UNTIL - timedelta(hours=48)).count() >= 23


def test_troubled_devices_fell_silent_before_the_end():
    seed(days=30)
    troubled = Device.objects.exclude(status=Status.ACTIVE)
    assert {device.status for device in troubled} == {Status.MAINTENANCE, Status.OFFLINE, Status.RETIRED}
    assert all(device.last_seen < UNTIL - timedelta(hours=5) for device in troubled)


def test_what_people_changed_or_deleted_stays_so():
    seed()
    Location.objects.filter(code="miami-brickell").update(name="Miami")
    changed, deleted = Device.objects.filter(status=Status.ACTIVE)[:2]
    deleted.delete()
    Device.objects.filter(pk=changed.pk).update(name="Mine", status=Status.MAINTENANCE)
    Device.objects.filter(location__code="boston-seaport").delete()
    Location.objects.filter(code="boston-seaport").delete()
    User.objects.filter(username="viewer").update(first_name="Victor")
    count = Device.objects.count()
    seed(until=UNTIL + timedelta(hours=3))
    assert Location.objects.get(code="miami-brickell").name == "Miami"
    assert not Location.objects.filter(code="boston-seaport").exists()
    assert Device.objects.count() == count
    changed.refresh_from_db()
    assert (changed.name, changed.last_seen) == ("Mine", UNTIL)
    assert User.objects.get(username="viewer").first_name == "Victor"


def test_hours_later_active_devices_go_on_where_they_were():
    seed()
    active = Device.objects.filter(status=Status.ACTIVE).count()
    later = UNTIL + timedelta(hours=2)
    assert f"Added 0 locations, 0 devices, {active * 24:,} readings, 0 people." in seed(until=later)
    assert Device.objects.filter(last_seen=later).count() == active
    assert top_up(later + timedelta(minutes=55), 3) == 0


def test_a_reading_that_somebody_posted_is_not_overwritten():
    seed()
    device = Device.objects.filter(status=Status.ACTIVE, metric="temperature").first()
    posted = UNTIL + timedelta(minutes=5)
    record_readings([NewReading(device.pk, "temperature", -40, posted)])
    seed(until=UNTIL + timedelta(hours=2))
    assert Reading.objects.get(device=device, taken_at=posted).value == -40


def test_by_default_it_ends_now():
    seed(until=None, days=1)
    newest = Device.objects.filter(status=Status.ACTIVE).first().last_seen
    assert timedelta(0) <= timezone.now() - newest < timedelta(minutes=10)


class TestPeople:
    def test_without_logins_nobody_can_sign_in(self):
        assert "--with-logins" in seed(days=1)
        assert not any(user.has_usable_password() for user in User.objects.all())

    def test_with_logins_each_can_and_the_table_says_how(self, client):
        said = seed("--with-logins", days=1)
        for login in DEMO_LOGINS:
            assert f"{login.username:10} {login.password:15} " in said
            assert client.login(username=login.username, password=login.password)

    def test_on_a_developers_machine_logins_come_by_themselves(self, settings):
        settings.DEBUG = True
        assert "demo-admin" in seed(days=1)

    def test_logins_may_be_asked_for_later_and_then_stay_as_people_change_them(self, client):
        seed(days=1)
        seed("--with-logins", days=1)
        viewer = User.objects.get(username="viewer")
        assert viewer.check_password("demo-viewer")
        viewer.set_password("my own one")
        viewer.save()
        assert "viewer     demo-viewer     Vera Novak, viewer at 3 locations *" in seed("--with-logins", days=1)
        viewer.refresh_from_db()
        assert viewer.check_password("my own one")

    def test_somebody_elses_account_of_that_name_is_left_alone(self):
        User.objects.create_user("admin", "root@own.example", "secret")
        seed("--with-logins", days=1)
        account = User.objects.get(username="admin")
        assert not account.is_staff
        assert account.check_password("secret")

    def test_each_sees_what_belongs_to_them(self):
        seed(days=1)
        seen = {
            login.username: Location.objects.visible_to(User.objects.get(username=login.username)).count()
            for login in DEMO_LOGINS
        }
        assert seen == {"admin": len(PLACES), "manager": 4, "operator": 3, "viewer": 3}
        roles = dict(Membership.objects.values_list("user__username", "role"))
        assert roles == {"manager": "manager", "operator": "operator", "viewer": "viewer"}


class TestRefused:
    @pytest.mark.parametrize("days", [0, 401])
    def test_days_out_of_range(self, days):
        with pytest.raises(CommandError, match="from 1 to 400"):
            seed(days=days)

    @pytest.mark.parametrize(
        ("until", "reason"),
        [
            ("noon", "argument --until: 'noon' is not ISO 8601"),
            ("2999-01-01", "argument --until: .* in the future"),
            ("1900-01-01", "argument --until: .* is before"),
        ],
    )
    def test_a_moment_that_is_none(self, until, reason):
        with pytest.raises(CommandError, match=reason):
            call_command("seed_demo", "--until", until)


def test_it_works_on_sqlite_too(sqlite):
    said = sqlite.manage("seed_demo", "--until", UNTIL.isoformat(), "--with-logins")
    assert said.startswith(f"Added {len(PLACES)} locations, ")
    assert sqlite.rows("SELECT count(*) FROM devices_reading")[0][0] > 90_000
    assert sqlite.manage("seed_demo", "--until", UNTIL.isoformat()).startswith("The demo data is there")
