"""What a batch of commits outdates in one table: all that each has changed, but for what its own writer has marked."""

import time
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacheops.protocol.keys import GENERATION
from cacheops.relay import values
from cacheops.relay.commits import LoggedCommit, LoggedRow, LoggedTable
from cacheops.relay.follower import FollowerRelay
from cacheops.relay.heartbeat import Heartbeat
from cacheops.relay.pgoutput import Column, Missing, Values
from cacheops.relay.relay import Relay
from cacheops.relay.values import RowLoader, differing

TABLE = "testapp_book"
COLUMNS = (Column("id", 23, True), Column("shelf_id", 23, False), Column("title", 1043, False))
SCHEMES = frozenset({"shelf_id", "id"})


def row(*values: bytes | Missing | None, columns: tuple[Column, ...] = COLUMNS, is_whole: bool = True) -> LoggedRow:
    return LoggedRow(columns, values, is_whole)


def commit(*rows: Values, marked: set[str] | None = None, whole: bool = False) -> LoggedCommit:
    table = LoggedTable([row(*values) for values in rows], whole)
    return LoggedCommit(1, tables={TABLE: table}, marked={TABLE: marked} if marked else {})


def outdated(*commits: LoggedCommit, schemes: frozenset[str] = SCHEMES) -> frozenset[str] | None:
    loader = RowLoader(SimpleNamespace(adapters=psycopg.adapters, connection=None))
    return loader.outdated(TABLE, commits, schemes)


def test_every_commit_counts() -> None:
    ones = [commit((b"1", b"7", b"A")), commit((b"2", None, b"B"), (b"3", b"7", b"C")), LoggedCommit(2)]
    assert outdated(*ones) == {"id=1", "id=2", "id=3", "shelf_id=7", "shelf_id=~"}


def test_what_one_writer_has_marked_excuses_no_other() -> None:
    marked = commit((b"1", b"7", b"A"), marked={"id=1", "shelf_id=7"})
    assert outdated(marked) == set()
    assert outdated(marked, commit((b"1", b"7", b"B"))) == {"id=1", "shelf_id=7"}
    assert outdated(marked, commit((b"1", b"7", b"B"), marked={"id=1"})) == {"shelf_id=7"}
    assert outdated(commit((b"4", b"8", b"A"), marked={GENERATION}), marked) == set()


@pytest.mark.parametrize(
    "unclear", [commit(whole=True), commit((b"1", b"no number", b"A")), commit((b"1", Missing.UNCHANGED, b"A"))]
)
def test_one_commit_whose_rows_are_not_known_takes_the_whole_table(unclear: LoggedCommit) -> None:
    assert outdated(commit((b"2", b"7", b"A")), unclear) is None


def test_no_scheme_is_no_excuse() -> None:
    assert outdated(commit((b"1", b"7", b"A")), schemes=frozenset()) is None


def test_each_commit_may_outdate_as_much_as_one(settings: object) -> None:
    settings.CACHEOPS_MAX_MARKS = 4  # type: ignore[attr-defined]
    commits = [commit((b"%d" % key, b"%d" % key, b"A")) for key in range(3)]
    assert len(outdated(*commits) or ()) == 6
    assert outdated(commit((b"1", b"1", b""), (b"2", b"2", b""), (b"3", b"3", b""))) is None


def test_rows_that_are_alike_where_it_counts_are_read_once() -> None:
    turned = COLUMNS[::-1]  # of another partition
    rows = [
        row(b"1", b"7", b"A"),
        row(b"2", b"7", b"B"),
        row(b"3", b"8", b"A"),
        row(b"4", None, b"A"),
        row(b"5", Missing.UNCHANGED, b"A"),
        row(b"6", b"7", b"A", is_whole=False),
        row(b"A", b"7", b"7", columns=turned),
        row(b"B", b"7", b"8", columns=turned),
    ]
    assert differing(rows, frozenset({"shelf_id"})) == [rows[at] for at in (0, 2, 3, 4, 5, 6)]
    assert differing(rows, frozenset()) == [rows[at] for at in (0, 5, 6)]


OF_MOMENTS = (Column("id", 23, True), Column("published", 1184, False), Column("shelf_id", 23, False))
DAY = "2026-11-29"
MOMENTS = [
    *[f"{DAY} 23:{time}{zone}".encode() for time in ("29:59.999999", "30:00", "30:59.5") for zone in ("+00", "+05:30")],
    *[text.encode() for text in (f"{DAY} 18:00:30.25+00", "1883-11-18 12:03:58+00:53:28", "0044-03-15 12:00:00+00 BC")],
    None,
]


@given(
    drawn=st.lists(st.tuples(st.sampled_from(MOMENTS), st.sampled_from([b"7", None])), max_size=12),
    schemes=st.frozensets(st.sampled_from(["published/60", "published/3600,shelf_id", "published/86400", "shelf_id"])),
    finer=st.frozensets(st.sampled_from(["published", "published/90", "published/1,shelf_id"]), max_size=1),
)
def test_rows_that_are_not_read_have_the_tags_of_others(
    drawn: list[tuple[bytes | None, bytes | None]], schemes: frozenset[str], finer: frozenset[str]
) -> None:
    rows = [row(b"1", *texts, columns=OF_MOMENTS) for texts in drawn]
    loader = RowLoader(SimpleNamespace(adapters=psycopg.adapters, connection=None))
    logged = [LoggedTable(rows)]
    read = loader._tags(TABLE, logged, schemes | finer)
    with patch.object(values, "differing", lambda rows, _: rows):
        assert loader._tags(TABLE, logged, schemes | finer) == read


@pytest.mark.parametrize(
    ("schemes", "read"),
    [("published/60", 2), ("published/3600 published/60", 2), ("published", 60), ("published/60 published", 60),
     ("published/90", 60), ("shelf_id", 1)],
)  # fmt: skip
def test_moments_of_one_minute_are_read_once(schemes: str, read: int) -> None:
    rows = [row(b"1", f"{DAY} 12:{30 + at % 2}:{at:02}.5+00".encode(), b"7", columns=OF_MOMENTS) for at in range(60)]
    assert len(differing(rows, frozenset(schemes.split()))) == read


@pytest.mark.parametrize(("tags", "whole"), [(None, True), (["id=1", "id=2"], False), (["id=1", "id=2", "id=3"], True)])
def test_a_follower_s_relay_outdates_the_table_where_tags_are_unknown_or_many(
    settings: Any, tags: list[str] | None, whole: bool
) -> None:
    settings.CACHEOPS_MAX_MARKS = 1
    relay = object.__new__(FollowerRelay)
    relay._name, relay._schemes = "default", {TABLE: SCHEMES}
    found = frozenset(tags) if tags else None
    relay._loader = cast(RowLoader, SimpleNamespace(outdated=lambda *of: found))
    marked = relay._marked(TABLE, [commit((b"1", b"7", b"A"))])
    assert (marked.whole, marked.tags) == (whole, frozenset() if whole else found)


@pytest.mark.parametrize(("is_free", "wait", "sent"), [(True, 0, 1), (True, 60, 0), (False, 0, 0), (False, 60, 0)])
def test_a_heartbeat_is_sent_when_it_is_time_and_none_is_under_way(
    monkeypatch: pytest.MonkeyPatch, is_free: bool, wait: float, sent: int
) -> None:
    notes: list[str] = []
    relay = object.__new__(FollowerRelay)
    relay._heartbeat = cast(Heartbeat, SimpleNamespace(is_free=lambda: is_free))
    relay._next_beat = time.monotonic() + wait
    monkeypatch.setattr(FollowerRelay, "send_note", lambda relay: notes.append("sent"))
    monkeypatch.setattr(Relay, "work", lambda relay, seconds: [])
    assert relay.work(0.0) == []
    assert len(notes) == sent
