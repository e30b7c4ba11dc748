"""How numbers and times are written for people."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from devices.metrics import METRICS

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
RELATIVE_UNTIL = timedelta(days=14)  # "16 days ago" says less than a date
UNITS = ((86_400, "day", "days"), (3_600, "h", "h"), (60, "min", "min"))


def number(value: float, decimals: int = 0) -> str:
    """Return a number with a real minus sign and groups of three: -1234.5 -> "−1 234.5"."""
    text = f"{value:,.{decimals}f}".replace(",", NARROW_SPACE)
    if text.startswith("-"):
        # Rounding may leave "-0.0", which is no number that anyone has measured.
        text = MINUS + text[1:] if text.strip("-0.") else text[1:]
    return text


def measured(value: float | None, metric: str) -> str:
    """Return a value with the metric's decimals, without its unit; a dash for no value."""
    if value is None:
        return NOTHING
    return number(value, METRICS[metric].decimals if metric in METRICS else 0)


def resolved(value: float, metric: str) -> str:
    """Return a value for programs, with one decimal more than people are shown: 21.3456 -> "21.35"; counts as they are.

    No sensor resolves more: what an average has beyond is noise.
    """
    decimals = METRICS[metric].decimals + 1 if metric in METRICS else 0
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # adding zero makes -0.0 zero


def unit_of(metric: str) -> str:
    return METRICS[metric].unit if metric in METRICS else ""


def with_unit(value: float | None, metric: str) -> str:
    """Return a value and its unit: 21.34 -> "21.3 °C". No space can break between them."""
    if value is None:
        return NOTHING
    return f"{measured(value, metric)}{NARROW_SPACE}{unit_of(metric)}".rstrip()


def absolute(moment: datetime, zone: ZoneInfo, named: bool = False) -> str:
    """Return "28 Feb 2017, 23:00" in a zone's clock, with the zone's name where asked."""
    local = moment.astimezone(zone)
    text = f"{local.day} {local:%b %Y, %H:%M}"
    return f"{text} {local:%Z}" if named else text


def relative(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Return "3 min ago"; a date for what is long past. A clock that runs ahead is "just now"."""
    age = now - moment
    if age > RELATIVE_UNTIL:
        local = moment.astimezone(zone)
        return f"{local.day} {local:%b %Y}"
    for seconds, one, many in UNITS:
        count = int(age.total_seconds() // seconds)
        if count > 0:
            return f"{count} {one if count == 1 else many} ago"
    return "just now"
