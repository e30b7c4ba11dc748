"""Locations for programs: those that the caller belongs to."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from ninja import Field, Path, Query, Router

from devices.selectors import DeviceCounts, device_counts
from locations.models import Location, Membership, Role
from locations.selectors import LOCATION_SORTS, LocationFilter, location_by_code, role_at
from users.models import Region, User
from xyzsite.api.auth import ApiRequest
from xyzsite.api.errors import ApiError, responses
from xyzsite.api.fields import CODE, Answer, OneOf, PageOut, PageQuery, either_way, page_out
from xyzsite.paging import location_page

router = Router(tags=["locations"])

Code = Annotated[str, Path(pattern=CODE, description="The location's code.", example="aotizhongxin")]


class DeviceCountsOut(Answer):
    """How many devices there are of each status."""

    active: int
    maintenance: int
    offline: int
    retired: int
    total: int


class LocationOut(Answer):
    """A place with devices."""

    code: str = Field(examples=["aotizhongxin"])
    name: str = Field(examples=["Aotizhongxin"])
    region: Region
    timezone: str = Field(description="An IANA time zone.", examples=["Asia/Shanghai"])
    active: bool
    devices: DeviceCountsOut
    last_seen: datetime | None = Field(description="When the newest reading of its devices was taken.")


class LocationDetailOut(LocationOut):
    """A place with devices, and what the caller may do there."""

    role: Role = Field(description="The caller's role: viewers read, operators post readings, managers change all.")


class LocationPageOut(PageOut[LocationOut]):
    """One page of locations."""


class MembershipOut(Answer):
    """The caller's role at a location."""

    location: str = Field(description="The location's code.", examples=["aotizhongxin"])
    role: Role


class LocationQuery(PageQuery):
    """What a list of locations is narrowed to."""

    search: str = Field("", max_length=120, description="In the name or the code, in any case.")
    region: Region | None = None
    sort: Annotated[str, OneOf(either_way(LOCATION_SORTS))] = Field(
        "name", description="A leading dash turns the order."
    )


@router.get("", response={200: LocationPageOut, **responses(401, 422)}, summary="List locations")
def list_locations(request: ApiRequest, query: Query[LocationQuery]) -> dict[str, Any]:
    """The locations that the caller belongs to; all for staff."""
    chosen = LocationFilter(search=query.search, region=query.region or "")
    page = location_page(request.auth, chosen, query.sort, query.page, query.page_size)
    counts = device_counts([location.pk for location in page])
    return page_out(page, query, [location_out(location, counts[location.pk]) for location in page])


@router.get("/{code}", response={200: LocationDetailOut, **responses(401, 404)}, summary="Show a location")
def show_location(request: ApiRequest, code: Code) -> dict[str, Any]:
    """A location, how many devices it has of each status, and the caller's role there."""
    location = visible_location(request, code)
    counts = device_counts([location.pk])[location.pk]
    return location_out(location, counts) | {"role": role_at(request.auth, location)}


def visible_location(request: ApiRequest, code: str) -> Location:
    try:
        return location_by_code(request.auth, code)
    except Location.DoesNotExist:
        raise ApiError(404, f"There is no location {code!r} that you may see.") from None


def location_out(location: Location, counts: DeviceCounts) -> dict[str, Any]:
    return {
        "code": location.code,
        "name": location.name,
        "region": location.region,
        "timezone": location.timezone,
        "active": location.active,
        "devices": {**asdict(counts), "total": counts.total},
        "last_seen": counts.last_seen,
    }


def memberships_of(user: User) -> list[dict[str, str]]:
    memberships = Membership.objects.filter(user=user).select_related("location").order_by("location__code")
    return [{"location": membership.location.code, "role": membership.role} for membership in memberships]
