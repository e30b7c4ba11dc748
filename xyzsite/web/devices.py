"""The page of a device: its value now, its readings over a window."""

from datetime import datetime
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from analytics.figures import merged, over_all
from analytics.series import chart
from analytics.windows import shown_until, window_for
from devices.buffering import with_pending
from devices.metrics import METRICS
from devices.models import Device
from devices.selectors import RECENT_READINGS, device_by_serial, present_for, readings_of
from devices.spans import SPANS
from xyzsite.web.filters import RangeForm, typed
from xyzsite.web.http import PageRequest, kept, render_part
from xyzsite.web.live import live


@require_safe
@live
@kept
def device(request: PageRequest, serial: str) -> HttpResponse:
    found = with_pending(visible_or_404(request, serial))
    now = timezone.now()
    context = {"device": found, "location": found.location, "metric": METRICS[found.metric]}
    context |= chart_context(request, found, now)
    if not request.htmx:
        context["recent"] = readings_of(found)[:RECENT_READINGS]
        context["historical"] = present_for(found.last_seen, now) != now
    return render_part(request, "devices/detail.html", "devices/_chart.html", "chart", context)


def visible_or_404(request: PageRequest, serial: str) -> Device:
    try:
        return device_by_serial(request.user, serial)
    except Device.DoesNotExist:
        # The same for one that does not exist and one that the person may not see.
        raise Http404("There is no such device.") from None


def chart_context(request: PageRequest, found: Device, now: datetime) -> dict[str, Any]:
    """Return what the chart's part of the page shows."""
    form, zone = RangeForm(request.GET), ZoneInfo(found.location.timezone)
    window, present = form.between(zone), False
    if window is None:
        window, present = window_for(form.span, zone, found.last_seen, form.end, now)
    held = merged(found.metric, found.pk, window, now).buckets
    newest_shown = found.last_seen is None or window.end > found.last_seen
    return {
        "spans": SPANS.values(),
        "span": window.span,
        "window": window,
        "form": form,
        "typed": typed(form, window),
        "present": present,
        "up_to": shown_until(window, present, found.last_seen, now),
        "earlier": window.earlier(),
        "later": None if newest_shown else window.later(),
        "buckets": held[::-1],
        "chart": cache(partial(chart, held, window, found.metric)),  # drawn where it is not kept
        "figures": over_all(held),
    }
