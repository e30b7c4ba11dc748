"""The account of a load run: what it calls lost, doubled and wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from xyzsite.demo.load.account import Account, account_of, latencies, percentile
from xyzsite.demo.load.fleet import Posted

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = ((7, NOON + timedelta(seconds=number)) for number in range(3))


def posted() -> Posted:
    """Three were sent, and two of them acknowledged."""
    return Posted(sent={FIRST: 1.0, SECOND: 2.0, THIRD: 3.0}, acknowledged={FIRST: 1.0, SECOND: 2.0})


def test_all_that_was_acknowledged_is_stored() -> None:
    account = account_of(posted(), [(*FIRST, 1.0), (*SECOND, 2.0)])
    assert account == Account(acknowledged=2, stored=2, lost=0, doubled=0, wrong=0, unanswered=0)
    assert account.right


def test_what_nobody_answered_may_be_stored() -> None:
    account = account_of(posted(), [(*FIRST, 1.0), (*SECOND, 2.0), (*THIRD, 3.0)])
    assert account.right
    assert account.unanswered == 1


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([(*FIRST, 1.0)], "lost"),
        ([(*FIRST, 1.0), (*SECOND, 2.0), (*SECOND, 2.0)], "doubled"),
        ([(*FIRST, 1.0), (*SECOND, 9.0)], "wrong"),
        ([(*FIRST, 1.0), (*SECOND, 2.0), (8, NOON, 1.0)], "wrong"),
    ],
)
def test_each_fault_is_counted(rows: list[tuple[int, datetime, float]], fault: str) -> None:
    account = account_of(posted(), rows)
    assert getattr(account, fault) == 1
    assert not account.right


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([], 99) == 0
    assert latencies([0.001]) == "p50 1.0 ms, p95 1.0 ms, p99 1.0 ms"
