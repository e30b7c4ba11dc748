"""Local times that a clock shows twice or never: placed by the order of their series."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from devices.imports.clocks import Clock
from devices.imports.errors import BadRow
from devices.imports.formats import Understood

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = datetime(2025, 10, 26)  # Berlin's clocks showed 02:00 to 03:00 twice: 00:00 to 02:00 UTC


def local(text: str, day: datetime = NIGHT) -> datetime:
    hour, minute = map(int, text.split(":"))
    return day.replace(hour=hour, minute=minute, tzinfo=BERLIN)


def row(at: datetime, device: int = 1, values: Iterable[str] = ("rain",)) -> Understood:
    """Return a row of a device with rain and temperature, of which only `values` are there."""
    return Understood([(device, metric, 5.0, at) for metric in values], at, ((device, "rain"), (device, "temperature")))


def place(times: Iterable[datetime], clock: Clock) -> dict[int, str]:
    """Return the moments in UTC by their line, from 0."""
    placed = [found for line, at in enumerate(times) for found in clock.place(line, row(at))]
    return {line: f"{reading[3].astimezone(UTC):%H:%M}" for line, reading in [*placed, *clock.finish()]}


@pytest.mark.parametrize(
    ("shown", "moments"),
    [
        ("01:30 02:00 02:30 02:00 02:30 03:00", "23:30 00:00 00:30 01:00 01:30 02:00"),
        ("03:00 02:30 02:00 02:30 02:00 01:30", "02:00 01:30 01:00 00:30 00:00 23:30"),  # newest first
        ("01:00 02:00 02:00 03:00", "23:00 00:00 01:00 02:00"),  # one an hour
        ("03:00 02:00 02:00 01:00", "02:00 01:00 00:00 23:00"),
        ("02:30 02:00 02:30 03:00", "00:30 01:00 01:30 02:00"),  # it begins in that hour
        ("01:30 02:30 02:00", "23:30 00:30 01:00"),  # it ends in that hour
        ("02:00 02:30 02:00 02:30", "00:00 00:30 01:00 01:30"),  # it knows no other
        # Ambiguous: once only, twice the same where that may be a copy, in the order of the text, put back twice.
        ("01:30 02:30 03:00", "23:30 ? 02:00"),
        ("02:00 02:00", "? ?"),
        ("02:30 02:00", "? ?"),
        ("01:00 02:00 02:00 02:30 02:30 03:00", "23:00 ? ? ? ? 02:00"),
        ("01:00 02:30 02:00 02:30 02:00 03:00", "23:00 ? ? ? ? 02:00"),
    ],
)
def test_the_order_of_a_series_tells(shown, moments):
    clock = Clock()
    found = place(map(local, shown.split()), clock)
    assert [found.get(line, "?") for line in range(len(shown.split()))] == moments.split()
    assert list(clock.ambiguous) == [line for line, moment in enumerate(moments.split()) if moment == "?"]
    assert clock.held == 0


def test_each_series_has_an_order_of_its_own():
    clock = Clock()
    rows = [(device, local(time)) for time in ("01:00", "02:00", "02:00", "03:00") for device in (1, 2)]
    placed = [found for line, (device, at) in enumerate(rows) for found in clock.place(line, row(at, device))]
    assert sorted((reading[0], f"{reading[3]:%H}") for _, reading in placed) == [
        (device, hour) for device in (1, 2) for hour in ("00", "01", "02", "23")
    ]


@pytest.mark.parametrize("there", [(), ("rain",)])
def test_a_row_that_lacks_values_tells_the_order_too(there):
    clock = Clock()
    times = [local(time) for time in ("01:00", "02:00", "02:00", "03:00")]
    rows = [row(at, values=("rain", "temperature") if line != 2 else there) for line, at in enumerate(times)]
    placed = [found for line, each in enumerate(rows) for found in clock.place(line, each)]
    assert [f"{reading[3]:%H}" for _, reading in placed if reading[1] == "temperature"] == ["23", "00", "02"]
    assert [f"{reading[3]:%H}" for _, reading in placed if reading[1] == "rain"] == [
        "23",
        "00",
        *("01" for _ in there),
        "02",
    ]
    assert not clock.ambiguous
    assert clock.held == 0


def test_a_row_without_values_is_never_reported():
    clock = Clock()
    never = local("02:30", datetime(2026, 3, 29))
    assert list(clock.place(0, row(never, values=()))) == list(clock.place(1, row(local("02:30"), values=()))) == []
    assert list(clock.finish()) == []
    assert not clock.ambiguous


def test_nights_of_two_autumns_are_two():
    nights = [local("02:30", day) for day in (datetime(2023, 10, 29), datetime(2024, 10, 27))]
    clock = Clock()
    assert place(nights, clock) == {}
    assert list(clock.ambiguous) == [0, 1]


def test_what_the_clock_never_showed_is_refused():
    with pytest.raises(BadRow, match="the clock in Europe/Berlin never showed 2026-03-29 02:30:00"):
        place([local("02:30", datetime(2026, 3, 29))], Clock())


def test_a_time_with_its_offset_needs_no_order():
    hour = timezone(timedelta(hours=1))
    assert place([NIGHT.replace(hour=2, tzinfo=hour), NIGHT.replace(hour=2, tzinfo=UTC)], Clock()) == {
        0: "01:00",
        1: "02:00",
    }
