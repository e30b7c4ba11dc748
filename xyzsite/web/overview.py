"""The page of the overview: regions, locations, and devices that need attention."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from analytics.overview import HEADLINES
from analytics.overview import overview as overview_of
from devices.excursions import excursions_at
from locations.selectors import visible_location_ids
from xyzsite.web.http import PageRequest, kept
from xyzsite.web.live import live


@require_safe
@live
@kept
def overview(request: PageRequest) -> HttpResponse:
    ids = None if request.user.is_staff else visible_location_ids(request.user)
    beyond = excursions_at(ids, timezone.now())
    return render(request, "overview.html", {"overview": overview_of(ids), "headlines": HEADLINES, "beyond": beyond})
