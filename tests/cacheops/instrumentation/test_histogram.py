"""Percentiles from fixed buckets: as near to the exact ones as is promised, and the same however they are added up."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheops.instrumentation.histogram import BUCKETS, ERROR, Histogram, bucket_of, lower_bound

SHORTEST, LONGEST = lower_bound(0), lower_bound(BUCKETS)
durations = st.floats(SHORTEST, LONGEST, exclude_max=True)
shares = st.floats(0.001, 1.0)


def exact(values: list[float], share: float) -> float:
    """Return the percentile by nearest rank."""
    return sorted(values)[max(1, ceil(share * len(values))) - 1]


@given(durations)
def test_a_duration_lies_in_its_bucket(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert lower_bound(bucket) <= seconds < lower_bound(bucket + 1)


@given(st.lists(durations, min_size=1), shares)
def test_a_percentile_is_within_the_promised_error(values: list[float], share: float) -> None:
    told = Histogram.of(values).quantile(share)
    assert told is not None
    assert told == pytest.approx(exact(values, share), rel=ERROR * 1.0001)


@given(st.lists(durations), st.lists(durations))
def test_histograms_add_up_to_the_histogram_of_all(one: list[float], other: list[float]) -> None:
    merged = Histogram.of(one)
    merged.merge(Histogram.of(other))
    whole = Histogram.of(one + other)
    assert merged.counts == whole.counts
    assert merged.seconds == pytest.approx(whole.seconds)


@given(st.lists(durations))
def test_what_is_packed_comes_back(values: list[float]) -> None:
    histogram = Histogram.of(values)
    back = Histogram.unpacked("l", {**histogram.packed("l"), "d:5": 1, "hits": 3})
    assert back.counts == histogram.counts
    assert back.seconds == pytest.approx(histogram.seconds, abs=1e-6)


@given(st.lists(durations))
def test_cumulative_counts_are_those_below_each_bound(values: list[float]) -> None:
    steps = list(Histogram.of(values).cumulative())
    assert steps == [(bound, sum(value < bound for value in values)) for bound, _ in steps]
    assert steps[-1][1] == len(values)


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (1e-9, 0), (64.0, BUCKETS - 1), (1e6, BUCKETS - 1)])
def test_what_is_too_short_or_too_long_counts_at_the_ends(seconds: float, bucket: int) -> None:
    assert bucket_of(seconds) == bucket


def test_nothing_measured_has_no_percentile() -> None:
    assert (Histogram().p50, Histogram().mean, Histogram().packed("l")) == (None, None, {})
