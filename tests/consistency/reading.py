"""A reader: queries of many shapes, each answer checked against what was committed before the query began."""

import random
import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import Count, Sum
from django.db.transaction import atomic

from cacheops.reading.options import bypassed
from tests.consistency.board import Board
from tests.consistency.models import Item, Shelf
from tests.consistency.reports import Reports
from tests.consistency.rules import (
    IMMORTAL,
    ITEMS,
    SHELVES,
    TOTAL,
    Bounds,
    Look,
    Predicate,
    absence_fault,
    count_bounds,
    row_fault,
)

Check = Callable[[Bounds, Bounds], str]  # (floors, ceilings) -> what is wrong, "" if nothing


class Reader:
    """`slot` is its place on the board; what it finds wrong goes to `reports`."""

    def __init__(self, board: Board, slot: int, seed: int, reports: Reports, *, hot: int, snapshots: bool) -> None:
        self.board = board
        self.slot = slot
        self.random = random.Random(seed)
        self.reports = reports
        self.items = [*range(1, hot + 1), *range(IMMORTAL + 1, ITEMS + 1)] if hot == IMMORTAL else [*range(1, hot + 1)]
        self.snapshots = snapshots

    def run(self, flush: Callable[[], None]) -> None:
        kinds, weights = list(KINDS), list(KINDS.values())
        while not self.board.stopped:
            for kind in self.random.choices(kinds, weights, k=50):
                self.read(kind)
            if self.random.random() < 0.2:
                with atomic():
                    for kind in self.random.choices(kinds, weights, k=3):
                        self.read(kind)
            if self.snapshots and self.random.random() < 0.2:
                self.read_snapshot()
            flush()

    def read(self, kind: "Kind") -> None:
        """Note the floors, read, note the ceilings, check."""
        board = self.board
        floors, promised = self.lows()
        check = kind(self)
        ceilings = board.ceilings()
        board.count(self.slot, "reads")
        board.count(self.slot, kind.__name__)
        fault = check(floors, ceilings)
        if fault:
            self.reports.add(kind.__name__, fault, check(promised, ceilings))

    def lows(self) -> tuple[Bounds, Bounds]:
        """Return what an answer must show at least: by the newest commits, and by what is promised of these."""
        return self.board.all("strict"), self.board.all("floor")

    def read_snapshot(self) -> None:
        """Read in a REPEATABLE READ transaction: all answers are of one moment, not before it began."""
        board = self.board
        with atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            floors = board.all("strict")
            first = _rows()
            time.sleep(self.random.uniform(0, 0.03))
            again = _rows()
            by_shelf = [list(Item.objects.filter(shelf_id=shelf).values_list("pk")) for shelf in range(1, SHELVES + 1)]
            amounts = Item.objects.aggregate(total=Sum("amount"))["total"]
            with bypassed():
                truth = _rows()
        ceilings = board.ceilings()
        board.count(self.slot, "reads", 4 + SHELVES)
        board.count(self.slot, "snapshot", 4 + SHELVES)
        fault = _rows_fault(first, floors, ceilings)
        if first != truth or again != truth:
            fault = fault or "a snapshot changed while it was open"
        elif sum(map(len, by_shelf)) != len(truth) or amounts != TOTAL:
            fault = fault or f"answers of several moments in a snapshot: {by_shelf}, {amounts}"
        if fault:
            self.reports.add("snapshot", fault, fault)

    # --- what kinds use ---------------------------------------------------------------------------------------------

    def item(self) -> int:
        return self.random.choice(self.items)

    def shelf(self) -> int:
        return self.random.randint(1, SHELVES)


Kind = Callable[[Reader], Check]
COLUMNS = ("pk", "counter", "shelf_id", "parity", "dirty")


def _values(row: Item) -> tuple[Any, ...]:
    return row.pk, row.counter, row.shelf_id, row.parity, row.dirty


def _rows() -> list[tuple[Any, ...]]:
    return list(Item.objects.order_by("pk").values_list(*COLUMNS))


def _rows_fault(
    rows: list[tuple[Any, ...]], lows: Bounds, highs: Bounds, wanted: Predicate = lambda look: look is not None
) -> str:
    """Check each row of an answer, and that none is missing for which the query's condition surely holds."""
    for row in rows:
        fault = row_fault(*row, lows, highs)
        if fault:
            return fault
        if not wanted(Look(row[2], row[3])):
            return f"item {row[0]} does not belong into this answer"
    there = {row[0] for row in rows}
    if len(there) != len(rows):
        return "a row twice"
    missing = (absence_fault(item, lows, highs, wanted) for item in range(1, ITEMS + 1) if item not in there)
    return next(filter(None, missing), "")


def _counted(what: str, found: int, lows: Bounds, highs: Bounds, holds: Predicate) -> str:
    least, most = count_bounds(lows, highs, holds)
    return "" if least <= found <= most else f"{what}: {found}, should be {least} to {most}"


def get(reader: Reader) -> Check:
    item = reader.item()
    return _checked_one(item, Item.objects.filter(pk=item).first() if item > IMMORTAL else Item.objects.get(pk=item))


def unique(reader: Reader) -> Check:
    item = reader.item()
    try:
        row = Item.objects.get(code=f"item-{item}")
    except Item.DoesNotExist:
        row = None
    return _checked_one(item, row)


def _checked_one(item: int, row: Item | None) -> Check:
    if row is None:
        return lambda lows, highs: absence_fault(item, lows, highs, lambda look: look is not None)
    return lambda lows, highs: row_fault(*_values(row), lows, highs)


def foreign_key(reader: Reader) -> Check:
    row = Item.objects.get(pk=reader.random.choice(reader.items[:IMMORTAL]))
    return _checked_shelves([row.shelf])


def _checked_shelves(shelves: list[Shelf]) -> Check:
    def check(lows: Bounds, highs: Bounds) -> str:
        for shelf in shelves:
            low, high = lows[ITEMS + shelf.pk - 1], highs[ITEMS + shelf.pk - 1]
            if not low <= shelf.counter <= high:
                return f"shelf {shelf.pk} at {shelf.counter}, should be {low} to {high}"
        return ""

    return check


def list_(reader: Reader) -> Check:
    shelf = reader.shelf()
    rows = [_values(row) for row in Item.objects.filter(shelf_id=shelf)]
    return lambda lows, highs: _rows_fault(rows, lows, highs, lambda look: look is not None and look.shelf == shelf)


def list_parity(reader: Reader) -> Check:
    wanted = Look(reader.shelf(), reader.random.randint(0, 1))
    found = Item.objects.filter(shelf=wanted.shelf, parity=wanted.parity).order_by("-pk")
    rows = [_values(row) for row in found]
    return lambda lows, highs: _rows_fault(rows, lows, highs, lambda look: look == wanted)


def joined(reader: Reader) -> Check:
    shelf = reader.shelf()
    found = list(Item.objects.select_related("shelf").filter(shelf__id=shelf))
    shelves = _checked_shelves([row.shelf for row in found])
    rows = [_values(row) for row in found]

    def check(lows: Bounds, highs: Bounds) -> str:
        holds: Predicate = lambda look: look is not None and look.shelf == shelf  # noqa: E731
        return _rows_fault(rows, lows, highs, holds) or shelves(lows, highs)

    return check


def count(reader: Reader) -> Check:
    found = Item.objects.count()
    return lambda lows, highs: _counted("items", found, lows, highs, lambda look: look is not None)


def count_shelf(reader: Reader) -> Check:
    shelf = reader.shelf()
    found = Item.objects.filter(shelf_id=shelf).count()
    return lambda lows, highs: _counted(
        f"items on shelf {shelf}", found, lows, highs, lambda look: look is not None and look.shelf == shelf
    )


def exists(reader: Reader) -> Check:
    wanted = Look(reader.shelf(), reader.random.randint(0, 1))
    found = Item.objects.filter(shelf_id=wanted.shelf, parity=wanted.parity).exists()

    def check(lows: Bounds, highs: Bounds) -> str:
        least, most = count_bounds(lows, highs, lambda look: look == wanted)
        if (found and not most) or (not found and least):
            return f"exists {wanted}: {found}, there are {least} to {most}"
        return ""

    return check


def sums(reader: Reader) -> Check:
    """The sum of all counters grows; the sum of all amounts never changes."""
    found = Item.objects.filter(pk__lte=IMMORTAL).aggregate(counters=Sum("counter"), amounts=Sum("amount"))

    def check(lows: Bounds, highs: Bounds) -> str:
        low, high = sum(lows[:IMMORTAL]), sum(highs[:IMMORTAL])
        if not low <= found["counters"] <= high:
            return f"sum of counters {found['counters']}, should be {low} to {high}"
        return "" if found["amounts"] == TOTAL else f"sum of amounts {found['amounts']}: half of a transaction"

    return check


def in_bulk(reader: Reader) -> Check:
    items = reader.random.sample(range(1, IMMORTAL + 1), 3)
    found = Item.objects.in_bulk(items)

    def check(lows: Bounds, highs: Bounds) -> str:
        if set(found) != set(items):
            return f"in_bulk({items}) found {sorted(found)}"
        return next(filter(None, (row_fault(*_values(row), lows, highs) for row in found.values())), "")

    return check


def values(reader: Reader) -> Check:
    rows = _rows()
    return lambda lows, highs: _rows_fault(rows, lows, highs)


def values_shelf(reader: Reader) -> Check:
    """Read columns by plain conditions: on a hit no query is built, and dictionaries come straight from the rows."""
    shelf = reader.shelf()
    found = Item.objects.filter(shelf_id=shelf).values(*COLUMNS[1:], "pk")
    rows = [tuple(row[name] for name in COLUMNS) for row in found]
    return lambda lows, highs: _rows_fault(rows, lows, highs, lambda look: look is not None and look.shelf == shelf)


def subquery(reader: Reader) -> Check:
    """Count the items of each shelf by a grouped join."""
    found = dict(Shelf.objects.annotate(n=Count("items")).values_list("pk", "n"))

    def check(lows: Bounds, highs: Bounds) -> str:
        for shelf, number in found.items():
            fault = _counted(
                f"items by join on shelf {shelf}",
                number,
                lows,
                highs,
                lambda look, shelf=shelf: look is not None and look.shelf == shelf,  # type: ignore[misc]
            )
            if fault:
                return fault
        return "" if len(found) == SHELVES else f"{len(found)} shelves"

    return check


list_.__name__ = "list"
KINDS: dict[Kind, int] = {
    get: 14,
    unique: 4,
    foreign_key: 3,
    list_: 4,
    list_parity: 3,
    joined: 2,
    count: 1,
    count_shelf: 3,
    exists: 2,
    sums: 1,
    in_bulk: 2,
    values: 1,
    values_shelf: 4,
    subquery: 1,
}
