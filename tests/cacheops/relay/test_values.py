"""What a batch of commits outdates in one table: all that each has changed, but for what its own writer has marked."""

from types import SimpleNamespace

import psycopg
import pytest

from cacheops.protocol.keys import GENERATION
from cacheops.relay.commits import LoggedCommit, LoggedRow, LoggedTable
from cacheops.relay.pgoutput import Column, Missing, Values
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
