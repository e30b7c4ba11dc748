"""What the templates need to write values, times and lists."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.overview import Overview, overview
from analytics.windows import Window
from devices.metrics import METRICS
from devices.models import Excursion, Status
from devices.spans import BUCKETS, RANGE
from users.models import Region
from xyzsite.paging import Page
from xyzsite.parts import state
from xyzsite.web import formats

SMALLEST_BUCKET = BUCKETS[0][1]
SHORT_NAMES = {"temperature": "Temp.", "humidity": "Humidity"}

register = template.Library()
register.filter("measured", formats.measured)
register.filter("with_unit", formats.with_unit)
register.filter("unit", formats.unit_of)
register.filter("grouped", formats.number)
register.filter("state", state)


@register.filter
def metric_name(code: str) -> str:
    return METRICS[code].label


@register.filter
def short_name(code: str) -> str:
    """Write a metric's name for a narrow column's head."""
    return SHORT_NAMES.get(code) or METRICS[code].label


@register.filter
def item(values: dict[str, Any], key: str) -> Any:
    return values.get(key)


@register.filter
def place(page: Page[Any]) -> str:
    """Name where in its list a page is."""
    return f"{page.number} {page.size} {page.total}"


@register.simple_tag
def platform_overview() -> Overview:
    """Return the overview of all locations, for those who may see everything."""
    return overview(None)


@register.simple_tag
def excursions_now() -> int:
    """Return how many values are beyond a threshold, at all locations."""
    return Excursion.objects.filter(ended_at=None).count()


@register.simple_tag
def this_minute() -> int:
    """Return the minute, counted from 1970, from which ages are written."""
    return int(timezone.now().timestamp() // 60)


@register.filter
def humanly(name: str) -> str:
    """Write a key of a device's metadata for people: "height_m" -> "Height m"."""
    return name.replace("_", " ").strip().capitalize()


@register.filter
def moment(window: Window) -> str:
    """Write the last moment of a window as its link's `until` says it: ISO 8601 in UTC."""
    return _iso(window.end.astimezone(UTC) - timedelta(seconds=1))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


RANGES = ("until", "from", "to", "page")  # what of a query string says which time, or part of a list, is shown


@register.simple_tag(takes_context=True)
def shifted(context: dict[str, Any], window: Window) -> str:
    """Write the query string that shows another window of the same length."""
    if window.span.code == RANGE:
        return _query(context, {"from": _iso(window.start), "to": _iso(window.end)})
    return _query(context, {"until": moment(window)})


@register.simple_tag(takes_context=True)
def zoomed(context: dict[str, Any], start: datetime, window: Window) -> str:
    """Write the query string that shows the bucket from `start` on alone; "" where it is one of the smallest."""
    if window.span.bucket <= SMALLEST_BUCKET:
        return ""
    return _query(context, {"from": _iso(start), "to": _iso(window.end_of(start))})


def _query(context: dict[str, Any], changes: dict[str, str]) -> str:
    return "?" + urlencode({**dict(carried(context)), **changes})


@register.simple_tag(takes_context=True)
def carried(context: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what of the query string stays as it is when another time is shown."""
    return [(name, value) for name, value in context["request"].GET.items() if name not in RANGES]


@register.filter
def region_name(code: str) -> str:
    return Region(code).label


@register.filter
def status_name(code: str) -> str:
    return Status(code).label if code in Status.values else code.capitalize()


@register.filter
def in_zone(moment: datetime, zone: str) -> str:
    return formats.absolute(moment, ZoneInfo(zone))


@register.simple_tag
def when(moment: datetime | None, zone: str) -> SafeString | str:
    """Write a moment as its age, with the full time in the location's clock as the title."""
    if moment is None:
        return "never"
    clock = ZoneInfo(zone)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.astimezone(clock).isoformat(timespec="seconds"),
        formats.absolute(moment, clock, named=True),
        formats.relative(moment, timezone.now().replace(second=0, microsecond=0), clock),
    )


@register.simple_tag
def clock(moment: datetime, zone: str, named: bool = True) -> SafeString:
    """Write a moment in full, in the location's clock."""
    place = ZoneInfo(zone)
    return format_html(
        '<time datetime="{}">{}</time>',
        moment.astimezone(place).isoformat(timespec="minutes"),  # as it is written
        formats.absolute(moment, place, named=named),
    )


@register.simple_tag
def zone_name(moment: datetime, zone: str) -> str:
    """Write the short name that a time zone bears at a moment, such as "PST"."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Z}"


@register.inclusion_tag("parts/sort.html", takes_context=True)
def sort_heading(context: dict[str, Any], column: str, label: str, css: str = "") -> dict[str, Any]:
    """Write a column's heading as a link that sorts by it, or turns the order if it already does."""
    current = context["sort"]
    direction = {column: "ascending", f"-{column}": "descending"}.get(current, "")
    query = context["request"].GET.copy()
    query["sort"] = f"-{column}" if current == column else column
    query.pop("page", None)
    return {
        "column": column,
        "label": label,
        "direction": direction,
        "query": query.urlencode(),
        "css": css,
        "target": context["target"],
    }


@register.inclusion_tag("parts/pages.html", takes_context=True)
def page_links(context: dict[str, Any], noun: str) -> dict[str, Any]:
    """Write where in the list we are, and links to the neighbouring pages."""
    return {name: context[name] for name in ("page", "request", "target")} | {"noun": noun}


@register.inclusion_tag("parts/status_bar.html")
def status_bar(counts: Any) -> dict[str, Any]:
    """Draw the shares of each status. Widths are SVG attributes: the content security policy allows no styles."""
    parts, place = [], 0
    for status in Status.values:
        if width := getattr(counts, status):
            parts.append({"status": status, "label": Status(status).label, "x": place, "width": width})
            place += width
    return {"parts": parts, "total": place}
