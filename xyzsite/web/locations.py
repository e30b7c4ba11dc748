"""Pages: the locations, and one with its devices."""

from typing import Any

from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from analytics.overview import mean_values
from devices.buffering import all_with_pending, pending_readings, rows_with_pending
from devices.directory import devices_at, newest_sighting
from devices.metrics import METRICS, Metric
from devices.models import Status
from devices.selectors import DEVICE_SORTS, device_counts
from locations.models import Location, Role
from locations.selectors import LOCATION_SORTS, location_by_code, role_at
from xyzsite.paging import device_page, location_page
from xyzsite.web.filters import DeviceFilterForm, LocationFilterForm
from xyzsite.web.http import PageRequest, kept, page_number, render_part, sort_from
from xyzsite.web.live import live


@require_safe
@live
@kept
def locations(request: PageRequest) -> HttpResponse:
    form = LocationFilterForm(request.GET)
    sort = sort_from(request, LOCATION_SORTS)
    page = location_page(request.user, form.chosen(), sort, page_number(request))
    counts = device_counts([location.pk for location in page])
    rows = [(location, counts[location.pk]) for location in page]
    context = {"form": form, "page": page, "rows": rows, "sort": sort}
    return render_part(request, "locations/list.html", "locations/_rows.html", "locations", context)


@require_safe
@live
@kept
def location(request: PageRequest, code: str) -> HttpResponse:
    place = visible_or_404(request, code)
    form = DeviceFilterForm(request.GET)
    sort = sort_from(request, DEVICE_SORTS)
    role = role_at(request.user, place)
    page = device_page(request.user, form.chosen(place.pk), sort, page_number(request))
    context: dict[str, Any] = {
        "location": place,
        "form": form,
        "sort": sort,
        "page": page,
        "role": role,
        "operates": role is not None and role.includes(Role.OPERATOR),
        "statuses": Status.choices,
    }
    if request.htmx:
        all_with_pending(page.rows)
    else:
        stored = devices_at([place.pk])
        pending = pending_readings([*stored[place.pk], *page.rows])
        all_with_pending(page.rows, pending)
        devices = rows_with_pending(stored, pending)[place.pk]
        context |= {"last_seen": newest_sighting(devices), "values": sorted_values(mean_values(devices))}
    return render_part(request, "locations/detail.html", "devices/_rows.html", "devices", context)


def visible_or_404(request: PageRequest, code: str) -> Location:
    try:
        return location_by_code(request.user, code)
    except Location.DoesNotExist:
        # The same for one that does not exist and one that the person may not see.
        raise Http404("There is no such location.") from None


def sorted_values(values: dict[str, float]) -> list[tuple[Metric, float]]:
    """Return the values with their metrics, in the order of METRICS."""
    return [(metric, values[code]) for code, metric in METRICS.items() if code in values]
