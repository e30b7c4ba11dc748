"""Pages of a long list, for the pages that people read and for the API."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

from devices.models import Device
from devices.selectors import DeviceFilter, devices_for
from locations.models import Location
from locations.selectors import LocationFilter, locations_for
from users.models import User

PAGE_SIZE = 25  # rows: about one screen
MAX_ROWS = 200  # a page of the API never holds more

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list: its rows, its number (from 1), and how many rows and pages there are in all."""

    rows: tuple[Row, ...]
    number: int
    size: int
    total: int

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pages(self) -> int:
        return max(1, ceil(self.total / self.size))

    @property
    def first(self) -> int:
        """The place of the page's first row in the whole list, from 1; 0 where the list is empty."""
        return (self.number - 1) * self.size + 1 if self.total else 0

    @property
    def last(self) -> int:
        return (self.number - 1) * self.size + len(self.rows)

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.number < self.pages else None


def page_of(rows: "QuerySet[Row, Any]", number: int = 1, size: int = PAGE_SIZE) -> Page[Row]:
    """Return the page with that number, or the nearest one that exists, in two queries."""
    size = min(max(1, size), MAX_ROWS)
    total = rows.order_by().select_related(None).count()  # neither changes it; without them a hit builds no query
    number = min(max(1, number), max(1, ceil(total / size)))
    return Page(tuple(rows[(number - 1) * size : number * size]), number, size, total)


def location_page(
    user: User, chosen: LocationFilter, sort: str = "name", number: int = 1, size: int = PAGE_SIZE
) -> Page[Location]:
    return page_of(locations_for(user, chosen, sort), number, size)


def device_page(
    user: User, chosen: DeviceFilter, sort: str = "name", number: int = 1, size: int = PAGE_SIZE
) -> Page[Device]:
    return page_of(devices_for(user, chosen, sort), number, size)
