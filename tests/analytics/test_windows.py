"""Windows lie on the edges of buckets, in the clock of the place, also where clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics.windows import common_zone, floored, shown_until, window_between, window_for, window_until
from devices.spans import MAX_RANGE, SPANS

NEW_YORK = ZoneInfo("America/New_York")
NAMES = ("UTC", "America/New_York", "Asia/Kathmandu", "Africa/Casablanca", "Asia/Shanghai")
WHOLE_HOURS = [ZoneInfo(name) for name in NAMES]  # zones whose clocks change by whole hours: all but one
ZONES = [*WHOLE_HOURS, ZoneInfo("Australia/Lord_Howe")]
moments = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
spans = st.sampled_from(list(SPANS.values()))
zones = st.sampled_from(ZONES)


@given(moments, spans, zones)
def test_the_last_bucket_holds_the_moment(moment: datetime, span, zone) -> None:
    window = window_until(span, moment, zone)
    last = window.starts()[-1].astimezone(UTC)
    assert last <= moment < window.end.astimezone(UTC)


@given(moments, spans, zones)
def test_buckets_follow_each_other_from_start_to_end(moment: datetime, span, zone) -> None:
    window = window_until(span, moment, zone)
    edges = [edge.astimezone(UTC) for edge in (*window.starts(), window.end)]
    assert edges[0] == window.start.astimezone(UTC)
    assert all(before < after for before, after in pairwise(edges))
    assert len(edges) == span.length // span.bucket + 1


@given(moments, spans, st.sampled_from(WHOLE_HOURS))
def test_earlier_and_later_lead_there_and_back(moment: datetime, span, zone) -> None:
    window = window_until(span, moment, zone)
    assert window.earlier().end.astimezone(UTC) == window.start.astimezone(UTC)
    assert window.later().start.astimezone(UTC) == window.end.astimezone(UTC)


def test_a_day_is_the_places_own() -> None:
    window = window_until(SPANS["30d"], datetime(2026, 3, 20, 3, tzinfo=UTC), NEW_YORK)
    assert window.end == datetime(2026, 3, 20, tzinfo=NEW_YORK)  # 3:00 UTC is still the 19th there
    edges = [edge.astimezone(UTC) for edge in (*window.starts(), window.end)]
    lengths = [after - before for before, after in pairwise(edges)]
    short = [start.day for start, length in zip(window.starts(), lengths, strict=True) if length != timedelta(hours=24)]
    assert (short, lengths.count(timedelta(hours=23))) == ([8], 1)  # when clocks went forward


def test_hours_go_on_where_the_clock_repeats_one() -> None:
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)  # 1:30, for the first time
    hour = timedelta(hours=1)
    assert floored(first, hour, NEW_YORK).astimezone(UTC) == datetime(2026, 11, 1, 5, tzinfo=UTC)
    assert floored(first + hour, hour, NEW_YORK).astimezone(UTC) == datetime(2026, 11, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("newest", "present"),
    [
        (None, True),
        (datetime(2026, 3, 10, 11, 59, tzinfo=UTC), True),
        (datetime(2026, 3, 9, 12, tzinfo=UTC), True),
        (datetime(2026, 3, 9, 11, 59, tzinfo=UTC), False),
        (datetime(2017, 2, 28, 15, tzinfo=UTC), False),
    ],
)
def test_a_window_ends_at_the_newest_reading_where_it_would_else_be_empty(
    newest: datetime | None, present: bool
) -> None:
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    window, is_present = window_for(SPANS["24h"], ZoneInfo("UTC"), newest, None, now)
    assert is_present is present
    expected = now if present else newest
    assert window.end - window.span.bucket <= expected < window.end
    assert shown_until(window, is_present, newest, now) == expected


@pytest.mark.parametrize(
    ("zones", "common"),
    [([], "UTC"), (["Asia/Shanghai"] * 3, "Asia/Shanghai"), (["Asia/Shanghai", "America/Denver"], "UTC")],
)
def test_places_with_one_clock_are_shown_by_it(zones: list[str], common: str) -> None:
    assert common_zone(zones) == common


def test_a_window_ends_where_the_asker_says() -> None:
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    window, present = window_for(SPANS["1h"], ZoneInfo("UTC"), now, datetime(2026, 3, 1, 7, 59, 59, tzinfo=UTC), now)
    assert not present
    assert window.end == datetime(2026, 3, 1, 8, tzinfo=UTC)


@example(datetime(2020, 9, 21, tzinfo=UTC), timedelta(days=14), ZoneInfo("Australia/Lord_Howe"))  # half an hour
@given(moments, st.timedeltas(timedelta(microseconds=1), MAX_RANGE), zones)
def test_a_range_is_the_fewest_whole_buckets_that_hold_it(start: datetime, length: timedelta, zone) -> None:
    window = window_between(start, start + length, zone)
    edges = [edge.astimezone(UTC) for edge in (*window.starts(), window.end)]
    assert edges[0] <= start < edges[1]
    assert edges[-2] < start + length <= edges[-1]
    assert [window.end_of(edge).astimezone(UTC) for edge in window.starts()] == edges[1:]
    assert len(edges) <= 400
    again = window_between(window.start, window.end, zone)
    assert again.starts() == window.starts() or again.span.bucket > window.span.bucket  # a bucket more may be too many


@pytest.mark.parametrize(
    ("length", "sentence"), [(timedelta(0), "later"), (timedelta(hours=-1), "later"), (timedelta(days=367), "366 days")]
)
def test_a_range_that_makes_no_sense_is_named(length: timedelta, sentence: str) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match=sentence):
        window_between(start, start + length, NEW_YORK)
