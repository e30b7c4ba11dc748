"""Each advice, from figures that call for it."""

import pytest

from cacheops.instrumentation.histogram import Histogram
from cacheops.monitoring.stats import Reads, Writes
from cacheops.panel.advice import advise
from cacheops.templatetags import cacheops_panel as written

NONE = Writes(0, 0, 0, Histogram())
MANY = Writes(500, 900, 10, Histogram())
WHOLE = Writes(500, 0, 400, Histogram())

UNUSED = Reads(hits=10, misses=90, outdated=90, sampled_fills=9, sampled_used=1)

CASES = {
    "too-few": (Reads(hits=49), NONE, 60.0, None, "Too few reads to say"),
    "good": (Reads(hits=95, misses=5, absent=5), NONE, 60.0, None, "Leave it as it is"),
    "expired": (Reads(hits=60, misses=40, absent=38, outdated=2), NONE, 60.0, None, "Raise the TTL"),
    "outdated": (Reads(hits=60, misses=40, absent=5, outdated=35), MANY, 60.0, None, "Narrow the condition"),
    "unused": (UNUSED, MANY, 60.0, None, "Do not cache"),
    "whole": (UNUSED, WHOLE, 60.0, None, "Narrow the condition"),
    "never-again": (Reads(misses=100, absent=100, fills=100), NONE, 60.0, 98, "Do not cache, or ask alike"),
    "too-large": (Reads(misses=100, absent=100, too_large=90), NONE, 60.0, None, "Narrow the condition"),
    "unencodable": (Reads(misses=100, absent=100, unencodable=90), NONE, 60.0, None, "Do not cache"),
    "bypassed": (Reads(hits=20, bypasses=80), NONE, 60.0, None, "See why it is bypassed"),
    "no-cause": (Reads(hits=70, misses=30), NONE, 60.0, None, "Watch it"),
}  # fmt: skip


@pytest.mark.parametrize(("reads", "writes", "timeout", "entries", "text"), CASES.values(), ids=CASES)
def test_advice(reads: Reads, writes: Writes, timeout: float | None, entries: int | None, text: str) -> None:
    advice = advise(reads, writes, timeout, entries)
    assert advice.text == text
    assert advice.why.endswith(".")


@pytest.mark.parametrize("case", ["expired", "outdated", "unused", "never-again", "no-cause"])
def test_nothing_is_held_against_a_cold_start(case: str) -> None:
    reads, writes, timeout, entries, text = CASES[case]
    cold = advise(reads, writes, timeout, entries, 59.9)
    assert (cold.text, cold.severity) == ("Cold start", "none")
    assert advise(reads, writes, timeout, entries, 60.0).text == text  # a lifetime has passed


def test_where_each_entry_has_its_own_lifetime_a_day_is_waited_for() -> None:
    reads, writes, _, entries, text = CASES["expired"]
    cold = advise(reads, writes, None, entries, 480)
    assert (cold.text, cold.why) == ("Cold start", "Counted for 8 min of an entry's 1 d: a row's first read is a miss.")
    assert advise(reads, writes, None, entries, 86_400).text == text


def test_what_can_not_be_kept_or_does_well_is_told_at_once() -> None:
    for case in ("good", "too-large", "unencodable", "bypassed"):
        reads, writes, timeout, entries, text = CASES[case]
        assert advise(reads, writes, timeout, entries, 1.0).text == text


def test_entries_that_warming_has_filled_may_wait_for_their_readers() -> None:
    warmed = Reads(misses=100, absent=100, fills=1100)
    assert advise(warmed, NONE, 60.0, 1090).text != CASES["never-again"][4]


@pytest.mark.parametrize(("fills", "is_said"), [(49, False), (50, True), (200, True), (201, False)])
def test_entries_that_nobody_asks_for_again_are_told_between_few_and_warmed(fills: int, is_said: bool) -> None:
    asked = Reads(misses=100, absent=100, fills=fills)
    assert (advise(asked, NONE, 60.0, fills).text == CASES["never-again"][4]) is is_said


def test_a_time_to_live_is_told_where_all_entries_have_it() -> None:
    reads = CASES["expired"][0]
    assert "expired (after 60 s), or never read" in advise(reads, NONE, 60.0).why
    assert "expired, or never read" in advise(reads, NONE, None).why


def test_the_figures_stand_behind_it() -> None:
    advice = advise(CASES["whole"][0], WHOLE, 60.0)
    assert "400 of 500 writes invalidated the whole table" in advice.why
    assert "88.9 % of its entries ended before their first hit" in advice.why


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("size", 0, "0\xa0bytes"), ("size", 1536, "1.5\xa0KB"), ("size", 512 * 2**20, "512.0\xa0MB"),
        ("size", None, "–"),
        ("seconds", 0.00008, "80\xa0µs"), ("seconds", 90, "1.5\xa0min"), ("seconds", 86_400, "1\xa0d"),
        ("seconds", "", "–"),
        ("rate", 0, "0"), ("rate", 0.4, "0.4"), ("rate", 1234.5, "1,234"), ("rate", "", "–"),
        ("percent", 0.987, "98.7\xa0%"), ("percent", None, "–"), ("number", 12345, "12,345"),
        ("whole_percent", 2.0, 100),
    ],
)  # fmt: skip
def test_figures_are_written_for_people(name: str, value: object, text: object) -> None:
    assert getattr(written, name)(value) == text
