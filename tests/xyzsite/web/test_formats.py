"""Numbers and times as people read them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from xyzsite.web import formats

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
CHICAGO = ZoneInfo("America/Chicago")
THIN = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0, 0, "0"),
        (1234567.891, 1, f"1{THIN}234{THIN}567.9"),
        (-12.34, 1, "−12.3"),
        (-0.04, 1, "0.0"),
        (-0.0, 0, "0"),
    ],
)
def test_number(value: float, decimals: int, text: str) -> None:
    assert formats.number(value, decimals) == text


def test_a_value_bears_its_metrics_decimals_and_unit() -> None:
    assert formats.with_unit(21.349, "temperature") == f"21.3{THIN}°C"
    assert formats.with_unit(21.6, "pm25") == f"22{THIN}µg/m³"
    assert formats.with_unit(7, "device_count") == "7"
    assert formats.with_unit(None, "temperature") == "–"


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (21.3456789, "temperature", "21.35"),
        (20.0, "temperature", "20.00"),
        (-0.004, "temperature", "0.00"),
        (1234567.891, "pm25", "1234567.9"),
        (7.0, "device_count", "7"),
    ],
)
def test_a_program_gets_one_decimal_more_than_people(value: float, metric: str, text: str) -> None:
    assert formats.resolved(value, metric) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=-90), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=14), "14 days ago"),
        (timedelta(days=15), "23 Feb 2026"),
    ],
)
def test_relative(age: timedelta, text: str) -> None:
    assert formats.relative(NOW - age, NOW, CHICAGO) == text


def test_absolute_is_by_the_clock_of_the_place() -> None:
    moment = datetime(2026, 3, 1, 3, 5, tzinfo=UTC)
    assert formats.absolute(moment, CHICAGO) == "28 Feb 2026, 21:05"
    assert formats.absolute(moment, CHICAGO, named=True) == "28 Feb 2026, 21:05 CST"
