"""Tables fit the terminal: columns that it has no room for are named, and nothing is cut."""

from io import StringIO

import pytest
from rich.console import Console

from cacheops.monitoring.formats import duration, human_bytes, lifetime, share
from cacheops.monitoring.report import Columns, StatsTable

COLUMNS: Columns = (
    ("node", lambda row: row[0]),
    ("hits 5 min", lambda row: str(row[1])),
    ("evicted/s", lambda row: str(row[2])),
)
ROWS = [("10.0.0.1:6379", 7, 1.5), ("10.0.0.2:6379", 12_345, 0.0)]


def printed(width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(StatsTable(COLUMNS, ROWS))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_wide_terminal_shows_every_column() -> None:
    assert printed(80) == [
        "                hits",
        "node           5 min  evicted/s",
        "10.0.0.1:6379      7        1.5",
        "10.0.0.2:6379  12345        0.0",
    ]


@pytest.mark.parametrize(("width", "left_out"), [(30, "evicted/s."), (19, "hits 5 min, evicted/s.")])
def test_a_narrow_one_names_what_it_leaves_out(width: int, left_out: str) -> None:
    lines = printed(width)
    assert all(len(line) <= width for line in lines)
    assert "10.0.0.1:6379" in lines[1 if "hits" in left_out else 2]
    assert " ".join(lines).endswith(f"In a wider window: {left_out}")
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((None, "–"), (8.5e-5, "85 µs"), (0.001, "1.0 ms"), (0.0012, "1.2 ms")),
        *((1.0, "1.0 s"), (3.44, "3.4 s"), (90.0, "90.0 s")),
    ],
)
def test_a_duration_is_told_in_its_unit(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.0, "59.0 s"), (60, "1 min"), (3600, "1 h"), (77_400, "21.5 h"), (86_400, "1 d")]
)
def test_a_lifetime_is_told_in_its_unit(seconds: float, text: str) -> None:
    assert lifetime(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (3 * 2**19, "1.50M"), (2**40, "1024.00G")]
)
def test_bytes_are_told_in_their_unit(count: float, text: str) -> None:
    assert human_bytes(count) == text


def test_a_share_is_told_in_per_cent() -> None:
    assert (share(0.1234), share(None)) == ("12.3 %", "–")
