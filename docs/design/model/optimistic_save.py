"""An optimistic save: the tags of a row by what an instance says of it, which the statement itself checks."""
from typing import NamedTuple

from model.search import replaced


class Row(NamedTuple):
    """A row that stands on shelf A or B, and the entries of both shelves: what each shelf's readers see of it.

    Versions are left out: an entry is valid until a writer marks its shelf. Another writer moves the row by the long
    way, in one step. Our writer expects it on a shelf, marks it, and runs one statement that commits by itself.
    """

    shelf: str = "A"
    value: int = 0
    entries: tuple = (None, None)  # of A and B: (the row's value or "absent") as loaded, None: no entry
    marked: frozenset = frozenset()  # shelves that our writer has marked
    writer: str = "start"
    mover: str = "start"
    reader: tuple | None = None  # (shelf, what it loaded) between load and fill; None: it may begin
    filled: bool = False  # its one fill is used up


SHELVES = "AB"


def seen(state, shelf):
    """What the database answers a reader of one shelf."""
    return state.value if state.shelf == shelf else "absent"


def without(state, *shelves):
    """Invalidate the entries of some shelves, and a fill under way."""
    entries = tuple(None if shelf in shelves else entry for shelf, entry in zip(SHELVES, state.entries))
    return dict(entries=entries, reader=None if state.reader and state.reader[0] in shelves else state.reader)


def optimistic_steps(state, *, asks_where=True, sets_shelf=False, checks_after=True, trigger=False):
    """An optimistic save: mark the shelf that the instance tells, then change the row if it still stands there."""
    for shelf in SHELVES:
        if state.reader is None and not state.filled and shelf not in state.marked:
            yield f"a reader of {shelf} loads", state._replace(reader=(shelf, seen(state, shelf)))
    if state.reader is not None:
        place = SHELVES.index(state.reader[0])
        entries = replaced(state.entries, place, state.reader[1])
        yield "it fills", state._replace(entries=entries, reader=None, filled=True)
    if state.mover == "start":  # the long way: marked, committed and cleared under the row's lock
        yield "another moves the row to B", state._replace(shelf="B", mover="done", **without(state, "A", "B"))
    if state.writer == "start":
        yield "the writer marks A", state._replace(marked=frozenset("A"), writer="marked", **without(state, "A"))
    elif state.writer == "marked":
        after = "B" if trigger else "A" if sets_shelf else state.shelf
        wrong = (asks_where and state.shelf != "A") or (checks_after and after != "A")
        if wrong:
            yield "the statement changes nothing", state._replace(writer="long way", marked=frozenset())
        else:
            yield "the statement commits", state._replace(shelf=after, value=state.value + 1, writer="committed")
    elif state.writer == "committed":
        yield "the writer clears A", state._replace(writer="done", marked=frozenset())
    elif state.writer == "long way":
        after = "B" if trigger else "A" if sets_shelf else state.shelf
        changes = without(state, state.shelf, after)
        yield "the long way", state._replace(shelf=after, value=state.value + 1, writer="done", **changes)


def no_stale_shelf(state):
    """An entry of a shelf that is not marked tells what the database holds."""
    for shelf, entry in zip(SHELVES, state.entries):
        if entry is not None and shelf not in state.marked and entry != seen(state, shelf):
            return f"shelf {shelf} shows {entry}, the database has {seen(state, shelf)}"
    return None
