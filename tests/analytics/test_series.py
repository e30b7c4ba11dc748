"""What a chart draws: gaps as gaps, whatever the pace of a device, and round times on its axis."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics.figures import Bucket
from analytics.series import axis_marks, chart, points_with_gaps
from analytics.windows import window_until
from devices.spans import SPANS

WINDOW = window_until(SPANS["24h"], datetime(2026, 3, 10, 23, 59, tzinfo=UTC), ZoneInfo("UTC"))


def buckets_at(*minutes: int) -> tuple[Bucket, ...]:
    return tuple(Bucket(1.5, 1, 2, 3, 1, 1.5, 1, WINDOW.start + timedelta(minutes=minute)) for minute in minutes)


def breaks(*minutes: int) -> int:
    return sum(point.average is None for point in points_with_gaps(buckets_at(*minutes), WINDOW))


def test_a_line_breaks_where_readings_are_missing() -> None:
    assert breaks(*range(0, 600, 15)) == 0
    assert breaks(*range(0, 300, 15), *range(420, 600, 15)) == 1


def test_a_slow_device_has_no_gaps_between_its_readings() -> None:
    assert breaks(*range(0, 1440, 60)) == 0
    assert breaks(*range(0, 600, 60), *range(780, 1440, 60)) == 1


def test_few_points_make_no_gap() -> None:
    assert breaks() == breaks(0) == breaks(0, 900) == 0


def test_marks_stand_at_round_times() -> None:
    assert [text for _, text in axis_marks(WINDOW)] == [f"{hour:02}:00" for hour in range(0, 24, 3)]
    month = window_until(SPANS["30d"], datetime(2026, 3, 10, 3, tzinfo=UTC), ZoneInfo("UTC"))
    assert [text for _, text in axis_marks(month)][:2] == ["9 Feb", "14 Feb"]


def test_the_band_is_left_out_where_it_would_have_no_width() -> None:
    flat = tuple(Bucket(2, 2, 2, 1, 1, 2, 1, WINDOW.start) for _ in range(2))
    assert not chart(flat, WINDOW, "temperature")["band"]
    assert chart(buckets_at(0, 15), WINDOW, "temperature")["band"]
    assert not chart(buckets_at(0, 15), WINDOW, "device_count")["band"]
