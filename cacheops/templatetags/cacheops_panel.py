"""How figures are written on the panel's pages."""

from datetime import UTC, datetime
from typing import Any

from django.template import Library
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from cacheops.monitoring.formats import NONE, lifetime, share

register = Library()

UNKNOWN = (None, "")  # a template has "" for what hangs on something that is None


def whole(text: str) -> str:
    """Return a figure that no line breaks from its unit."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


@register.filter
def percent(value: float | None) -> str:
    """Return a share of 1 in per cent."""
    return NONE if value in UNKNOWN else whole(share(value))


@register.filter
def seconds(value: float | None) -> str:
    """Return a duration in the unit that suits it, up to days."""
    return NONE if value is None or value in UNKNOWN else whole(lifetime(value))


@register.filter
def size(value: float | None) -> str:
    """Return bytes in a unit of 1024."""
    return NONE if value in UNKNOWN else filesizeformat(value)


@register.filter
def number(value: float | None) -> str:
    """Return a count with its thousands apart."""
    return NONE if value in UNKNOWN else f"{value:,.0f}"


@register.filter
def rate(value: float | None) -> str:
    """Return how often something happens in a second."""
    if value is None or value in UNKNOWN:
        return NONE
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


@register.filter
def whole_percent(value: float | None) -> int:
    """Return a share of 1 as whole per cent, 0 to 100: the width of a bar."""
    return 0 if value is None or value in UNKNOWN else min(100, max(0, round(100 * value)))


@register.filter
def moment(value: float) -> datetime:
    """Return seconds since the epoch as a moment in the active time zone."""
    found = datetime.fromtimestamp(value, UTC)
    return timezone.localtime(found)


@register.filter
def of(values: Any, key: Any) -> Any:
    """Return what a mapping holds under a key."""
    return values.get(key)
