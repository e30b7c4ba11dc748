"""What single cells say: numbers, moments, and that there is no value."""

import math
import re
from datetime import UTC, datetime, timedelta

from devices.imports.errors import BadRow
from devices.services import range_problem, value_problem

# What loggers and archives write for "no value", in lower case. Numbers such as -9999 are found by a metric's range.
MISSING = frozenset(
    {"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "---", "no data", "unknown", "unavailable"}
)
COMMA = re.compile(r"[+−-]?\d+,\d+")
THOUSANDS = re.compile(r"[+−-]?[1-9]\d{0,2},\d{3}")
# ISO 8601's end of a day, which is the next one's begin.
MIDNIGHT = re.compile(r"(?<=[ T_])24:00(:00(\.0+)?)?(?![\d:])")
OFFSET = re.compile(r" (?=[+-]\d\d(:?\d\d)?$)")
UTC_NAMES = re.compile(r" ?(UTC|GMT)$")
HALF_DAY = re.compile(r"(?<=\d)( ?[ap])(?![\w.])", re.IGNORECASE)  # Davis writes 1:30p for 1:30 pm
EXCEL_EPOCH = datetime(1899, 12, 30)
# Time formats that strptime has no directive for: text -> moment, without a zone where they do not know it.
TIME_FORMATS = {
    "unix": lambda text: datetime.fromtimestamp(float(text), UTC),
    "unix-ms": lambda text: datetime.fromtimestamp(float(text) / 1000, UTC),
    "excel": lambda text: EXCEL_EPOCH + timedelta(seconds=round(float(text) * 86_400, 3)),
}


def is_missing(cell: str) -> bool:
    return cell.casefold() in MISSING


def number(cell: str, column: str, decimal: str = "", metric: str = "") -> float:
    """Return a cell's value. Raises BadRow for what is no finite number, or outside the metric's range."""
    text = with_point(cell.strip(), column, decimal) if "," in cell or decimal == "," else cell
    try:
        value = float(text.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        value = math.nan
    # Python would take "1_000", which is more likely a damaged row.
    if not math.isfinite(value) or "_" in text:
        raise BadRow(f"{column} is {cell!r}, which is no finite number.")
    problem = range_problem(metric, value) if metric else value_problem(value)
    if problem:
        raise BadRow(f"{column}: {problem}")
    return value


def with_point(text: str, column: str, decimal: str) -> str:
    """Return a number with a decimal point. Raises BadRow where a comma may part thousands, or a point must not be."""
    if decimal == "," and "." in text:
        raise BadRow(f"{column} is {text!r}, which has a point although --decimal is a comma.")
    if not COMMA.fullmatch(text) or (decimal == "," and text.count(",") == 1):
        return text.replace(",", ".") if decimal == "," else text
    if decimal == "." or THOUSANDS.fullmatch(text):
        raise BadRow(f"{column} is {text!r}: if its comma is a decimal one, give --decimal ','.")
    return text.replace(",", ".")


def moment(text: str, time_format: str = "") -> datetime:
    """Return a cell's moment, with its zone if it names one. Raises BadRow."""
    day_later = MIDNIGHT.search(text) is not None
    try:
        found = parsed(MIDNIGHT.sub(lambda found: "00" + found[0][2:], text) if day_later else text, time_format)
        return found + timedelta(days=1) if day_later else found
    except (ValueError, OverflowError, OSError) as error:
        expected = (
            repr(time_format) if time_format else "ISO 8601, such as 2026-05-04T12:00:00Z, nor is --time-format given"
        )
        raise BadRow(f"time is {text!r}, which is not {expected}.") from error


def parsed(text: str, time_format: str) -> datetime:
    if not time_format:
        return datetime.fromisoformat(UTC_NAMES.sub("Z", OFFSET.sub("", text.strip().upper())))
    if time_format in TIME_FORMATS:
        return TIME_FORMATS[time_format](text)
    if "%p" in time_format:
        text = HALF_DAY.sub(r"\1m", text)
    return datetime.strptime(text, time_format)
