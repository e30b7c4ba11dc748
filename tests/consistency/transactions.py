"""What a writer does in one transaction, and how often of each kind."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import F
from django.db.transaction import atomic

from tests.consistency.board import UNKNOWN
from tests.consistency.models import Item, Ledger, Shelf
from tests.consistency.rules import IMMORTAL, ITEMS, PERIOD, SHELVES, look_of

if TYPE_CHECKING:
    from tests.consistency.writing import Writer

NEXT = {
    "counter": F("counter") + 1,
    "parity": (F("counter") + 1) % 2,
    "shelf_id": (F("pk") + (F("counter") + 1) / 2) % SHELVES + 1,
}
RAW_NEXT = (
    "UPDATE consistency_item SET counter = counter + 1, parity = (counter + 1) %% 2,"
    f" shelf_id = (id + (counter + 1) / 2) %% {SHELVES} + 1"
)


class Rollback(Exception):
    """Ends a transaction on purpose."""


Kind = Callable[["Writer"], Any]
FIELDS = ["counter", "shelf", "parity"]


def save(writer: "Writer") -> None:
    writer.advance(writer.locked(writer.immortal())).save(update_fields=FIELDS)


def save_stale(writer: "Writer") -> None:
    """Save an instance that was read before the lock: what it holds is not what the row was."""
    old = Item.objects.get(pk=writer.immortal())
    now = writer.locked(old.pk)
    old.amount = now.amount
    writer.advance(old, now.counter).save()


def update(writer: "Writer") -> None:
    """Set columns by expressions: only the database knows the values."""
    item = writer.immortal()
    Item.objects.filter(pk=item).update(**NEXT)
    writer.note(item, Item.objects.select_for_update().values_list("counter", flat=True).get(pk=item))


def update_shelf(writer: "Writer") -> None:
    """Move all rows of one shelf, whichever they are when the statement comes to them."""
    shelf = writer.random.randint(1, SHELVES)
    Item.objects.filter(shelf_id=shelf, pk__lte=IMMORTAL).update(**NEXT)
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, counter FROM consistency_item WHERE xmin = pg_current_xact_id()::xid")
        for item, counter in cursor.fetchall():
            writer.note(item, counter)


def bulk_update(writer: "Writer") -> None:
    chosen = sorted(writer.random.sample(range(1, IMMORTAL + 1), 3))
    rows = list(Item.objects.select_for_update().filter(pk__in=chosen).order_by("pk"))
    Item.objects.bulk_update([writer.advance(row) for row in rows], FIELDS)


def raw(writer: "Writer") -> None:
    item = writer.immortal()
    with connection.cursor() as cursor:
        cursor.execute(f"{RAW_NEXT} WHERE id = %s RETURNING counter", [item])
        writer.note(item, cursor.fetchone()[0])


def raw_alone(writer: "Writer") -> None:
    """A raw statement without a transaction around it."""
    item = writer.immortal()
    writer.note(item, UNKNOWN)
    with connection.cursor() as cursor:
        cursor.execute(f"{RAW_NEXT} WHERE id = %s RETURNING counter", [item])
        writer.note(item, cursor.fetchone()[0])
    writer.after_commit()
    writer.board.put("intent", writer.slot, item - 1, writer.changes[item - 1])


def save_alone(writer: "Writer") -> None:
    """Save one column without a transaction around it: one statement, where nobody has moved the row meanwhile."""
    row = Item.objects.get(pk=writer.immortal())
    row.counter = F("counter") + PERIOD  # shelf and parity stay: the instance tells what the row holds
    writer.note(row.pk, UNKNOWN)

    def published(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if connection.in_atomic_block or not sql.startswith("UPDATE"):
            return execute(sql, params, many, context)
        writer.before_commit()
        answer = execute(sql, params, many, context)
        writer.note(row.pk, committed(row.pk))
        writer.after_commit()
        writer.note(row.pk, UNKNOWN)  # expected values may be wrong: the write follows in a transaction
        return answer

    with connection.execute_wrapper(published):
        row.save(update_fields=["counter"])
    writer.note(row.pk, committed(row.pk))
    writer.after_commit()
    writer.board.put("intent", writer.slot, row.pk - 1, writer.changes[row.pk - 1])


def committed(item: int) -> int:
    """Return an item's counter in the database, asked outside of transactions."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute("SELECT counter FROM consistency_item WHERE id = %s", [item])
        return cursor.fetchone()[0]


def transfer(writer: "Writer") -> None:
    first, second = sorted(writer.random.sample(range(1, IMMORTAL + 1), 2))
    rows = [writer.locked(first), writer.locked(second)]
    moved = writer.random.randint(1, 10)
    rows[0].amount -= moved
    rows[1].amount += moved
    for row in rows:
        writer.advance(row).save()


def move_twice(writer: "Writer") -> None:
    """Move a row to a shelf and on to another in one transaction."""
    row = writer.locked(writer.immortal())
    Item.objects.filter(pk=row.pk).update(shelf_id=1 + row.shelf_id % SHELVES, dirty=True)
    writer.advance(row).save()


def roll_back(writer: "Writer") -> None:
    row = writer.locked(writer.immortal())
    Item.objects.filter(pk=row.pk).update(shelf_id=1 + row.shelf_id % SHELVES, dirty=True, counter=row.counter + 1)
    raise Rollback


def savepoint(writer: "Writer") -> None:
    row = writer.locked(writer.immortal())
    try:
        with atomic():
            Item.objects.filter(pk=row.pk).update(shelf_id=1 + row.shelf_id % SHELVES, dirty=True)
            raise Rollback
    except Rollback:
        writer.advance(row).save()


def mortal(writer: "Writer") -> None:
    """Bring a mortal item to its next counter: change it, delete it, or make it again."""
    ledger = Ledger.objects.select_for_update().get(pk=writer.random.randint(IMMORTAL + 1, ITEMS))
    _step(writer, ledger, again=False)


def recreate(writer: "Writer") -> None:
    """Delete a row and make it again in one transaction: nobody may see it missing."""
    ledger = Ledger.objects.select_for_update().get(pk=writer.random.randint(IMMORTAL + 1, ITEMS))
    _step(writer, ledger, again=True)


def _step(writer: "Writer", ledger: Ledger, *, again: bool) -> None:
    was, will = look_of(ledger.pk, ledger.counter), look_of(ledger.pk, ledger.counter + 1)
    row = Item(pk=ledger.pk, code=f"item-{ledger.pk}", counter=ledger.counter)
    if was is not None and (will is None or again):
        Item.objects.filter(pk=ledger.pk).delete()
    writer.advance(row)
    if will is not None and (was is None or again):
        row.save(force_insert=True)
    elif will is not None:
        row.save(update_fields=FIELDS)
    ledger.counter += 1
    ledger.save()


def hold(writer: "Writer") -> None:
    """Keep a row locked for a while."""
    row = writer.locked(writer.immortal())
    time.sleep(writer.random.uniform(0.02, 0.2))
    writer.advance(row).save(update_fields=FIELDS)


def shelf(writer: "Writer") -> None:
    """Change a shelf and an item in one transaction."""
    row = writer.locked(writer.immortal())
    place = Shelf.objects.select_for_update().get(pk=writer.random.randint(1, SHELVES))
    place.counter += 1
    place.save()
    writer.changes[ITEMS + place.pk - 1] = place.counter
    writer.advance(row).save()


def update_or_create(writer: "Writer") -> None:
    row = writer.advance(writer.locked(writer.immortal()))
    values = {"counter": row.counter, "shelf_id": row.shelf_id, "parity": row.parity}
    Item.objects.update_or_create(code=row.code, defaults=values)


KINDS: dict[Kind, int] = {
    save: 4,
    save_stale: 3,
    update: 4,
    update_shelf: 2,
    bulk_update: 2,
    raw: 1,
    raw_alone: 1,
    save_alone: 3,
    transfer: 3,
    move_twice: 3,
    roll_back: 2,
    savepoint: 2,
    mortal: 4,
    recreate: 2,
    hold: 2,
    shelf: 2,
    update_or_create: 2,
}
