"""Who may do what is judged where it is done, whatever a page or an operation of the API has asked before."""

import pytest

from cacheops import bypassed
from devices.changes import change_device, create_device
from devices.models import Device, Threshold
from devices.selectors import device_by_serial
from devices.thresholds import change_threshold
from locations.models import Location, Membership, Role
from locations.selectors import RoleRequired
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def yard(db: None) -> Location:
    return Location.objects.create(code="yard", name="Yard")


@pytest.fixture
def roof(db: None) -> Location:
    return Location.objects.create(code="roof", name="Roof")


@pytest.fixture
def manager(yard: Location) -> User:
    """Return the manager of the yard, to whom the roof is nothing."""
    user = User.objects.create_user("ann")
    Membership.objects.create(user=user, location=yard, role=Role.MANAGER)
    return user


def device_at(location: Location, by: User | None = None) -> Device:
    return create_device(location, by, serial="t-1", name="One", kind="thermometer", metric="temperature")


def test_who_does_not_belong_to_a_location_adds_nothing(manager: User, yard: Location, roof: Location) -> None:
    with pytest.raises(RoleRequired, match="you do not belong to it"):
        device_at(roof, manager)
    assert device_at(yard, manager).location == yard


def test_a_device_is_changed_by_whom_it_belongs_to_now(manager: User, yard: Location, roof: Location) -> None:
    seen = device_at(yard)
    Device.objects.update(location=roof)
    with pytest.raises(RoleRequired, match="at Roof"):
        change_device(seen, manager, name="Mine")


def test_a_threshold_is_not_taken_from_elsewhere(manager: User, yard: Location, roof: Location) -> None:
    threshold = Threshold.objects.create(location=roof, metric="rain", high=1)
    with pytest.raises(RoleRequired, match="at Roof"):
        change_threshold(threshold, manager, location=yard)


def test_a_reader_past_the_cache_sees_their_own_only(manager: User, yard: Location, roof: Location) -> None:
    device = device_at(roof)
    with bypassed():
        with pytest.raises(Device.DoesNotExist):
            device_by_serial(manager, "t-1")
        Device.objects.update(location=yard)
        assert device_by_serial(manager, "t-1") == device
