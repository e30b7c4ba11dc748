"""Queries, writes and transactions drawn at random; each cached answer is compared with the database's."""

import contextlib
import itertools
import uuid
from collections.abc import Callable
from typing import Any

from django.core.exceptions import FieldError, FullResultSet, ObjectDoesNotExist
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import Q
from django.test import override_settings
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cacheops.reading.options import bypassed
from tests.testapp import world
from tests.testapp.compare import plain
from tests.testapp.drawn import (
    ARRAY_ROWS,
    ARRAYS,
    BOOKS,
    COLUMNS,
    CONDITIONS,
    PLAIN,
    PLAIN_STARTS,
    SHAPES,
    SHORT_SHAPES,
    STARTED,
    STARTS,
    Start,
)
from tests.testapp.models import Book, PostgresField
from tests.testapp.queries import reads_for
from tests.testapp.writes import writes_for

SHAPE_NAMES = st.sampled_from(sorted(SHAPES))
POSTGRES = "postgresql"
Asked = tuple[Any, Callable[[], Any]]  # what it is, and the read


def comparable(found: Any, ordered: bool) -> Any:
    if isinstance(found, int | dict):
        return found
    return plain(list(found)) if ordered else sorted(map(repr, plain(list(found))))


class OrmMachine(RuleBasedStateMachine):
    """Subclasses name a database, and a region for the cache."""

    database = "default"
    region = ""
    examples = 0

    @property
    def vendor(self) -> str:
        return connections[self.database].vendor

    @initialize(first=st.lists(st.tuples(STARTED, SHAPE_NAMES), min_size=4, max_size=8))
    def begin(self, first: list[tuple[Start, str]]) -> None:
        type(self).examples += 1
        self.settings = override_settings(
            CACHEOPS_PREFIX=f"m-{uuid.uuid4().hex[:12]}",
            CACHEOPS_REGIONS=(self.region,),
            CACHEOPS_LOCAL_REGION=self.region,
            CACHEOPS_WAIT_REPLICAS=0,
        )
        self.settings.enable()
        self.blocks: list[transaction.Atomic] = []
        self.is_raw = False  # raw SQL has begun the open transaction
        self.asked: list[Asked] = []
        world.empty(self.database)
        world.fill(self.database)
        for start, shape in first:
            self.ask_new(start, shape)

    # --- reads ------------------------------------------------------------------------------------------------------

    def ask(self, what: Any, read: Callable[[], Any]) -> None:
        self.asked = [*self.asked[-11:], (what, read)]
        self.compare(what, read)

    def compare(self, what: Any, read: Callable[[], Any]) -> None:
        cached = self.answer(read)
        with bypassed():
            assert cached == self.answer(read), what

    def answer(self, read: Callable[[], Any]) -> Any:
        """Return what a read gives as plain values; of what Django or the database refuses, the error's name."""
        try:
            with self.savepoint():
                return plain(read())
        except (DatabaseError, FieldError, FullResultSet, NotImplementedError) as error:
            return type(error).__name__

    @contextlib.contextmanager
    def savepoint(self) -> Any:
        """Where a transaction is open, undo what fails within the block, so that it can go on."""
        if self.is_raw:
            self.run("SAVEPOINT one")
            try:
                yield
            except BaseException:
                self.run("ROLLBACK TO SAVEPOINT one")
                raise
            self.run("RELEASE SAVEPOINT one")
        else:
            with transaction.atomic(using=self.database) if self.blocks else contextlib.nullcontext():
                yield

    def run(self, sql: str) -> None:
        with connections[self.database].cursor() as cursor:
            cursor.execute(sql)

    @rule(start=STARTED, shape=SHAPE_NAMES)
    def ask_new(self, start: Start, shape: str) -> None:
        name, is_filter, condition = start

        def read() -> Any:
            books = STARTS[name](Book.objects.using(self.database))
            return SHAPES[shape](books.filter(condition) if is_filter else books.exclude(condition))

        self.ask((start, shape), read)

    @precondition(lambda self: not self.is_raw)
    @rule(condition=PLAIN, shape=st.sampled_from(sorted(SHORT_SHAPES)), other=PLAIN)
    def ask_plainly(self, condition: dict[str, Any], shape: str, other: dict[str, Any]) -> None:
        """Ask twice, as the second is answered by what the first one taught; and with other values of one kind."""
        others = {name: other.get(name, value) for name, value in condition.items()}
        for start, asked in itertools.product(PLAIN_STARTS, (condition, condition, others)):
            books = STARTS[start](Book.objects.using(self.database))
            ordered = start != "nothing" and shape != "aggregate"
            cached = comparable(SHORT_SHAPES[shape](books.filter(**asked)), ordered)
            with bypassed():
                found = comparable(SHORT_SHAPES[shape](books.filter(**asked)), ordered)
            assert cached == found, (start, asked, shape)
        values = SHAPES["values"]
        self.asked.append((condition, lambda: values(Book.objects.using(self.database).filter(**condition))))

    @rule(condition=ARRAYS, is_filter=st.booleans(), shape=st.sampled_from(["list", "count", "exists"]))
    def ask_arrays(self, condition: Q, is_filter: bool, shape: str) -> None:
        assume(self.vendor == POSTGRES)
        rows = PostgresField.objects.using(self.database).order_by("pk")

        def read() -> Any:
            found = rows.filter(condition) if is_filter else rows.exclude(condition)
            return list(found) if shape == "list" else getattr(found, shape)()

        self.ask((condition, is_filter, shape), read)

    @rule(name=st.sampled_from(sorted(reads_for(POSTGRES))))
    def ask_by_name(self, name: str) -> None:
        read = reads_for(self.vendor).get(name)
        assume(read)
        if read is not None:
            self.compare(name, lambda: read(self.database))

    # --- writes -----------------------------------------------------------------------------------------------------

    def write(self, write: Callable[[], Any]) -> None:
        """Write; what the database refuses is undone. Then ask all again."""
        with contextlib.suppress(DatabaseError, ObjectDoesNotExist), self.savepoint():
            write()
        self.compare_all()

    def compare_all(self) -> None:
        """Ask all again; in a transaction too, where what it has written is read past the cache."""
        for what, read in self.asked:
            self.compare(what, read)

    @rule(
        values=st.fixed_dictionaries({}, optional=COLUMNS).filter(bool),
        condition=CONDITIONS | st.lists(BOOKS, min_size=1, max_size=3).map(lambda keys: Q(pk__in=keys)),
    )
    def update(self, values: dict[str, Any], condition: Q) -> None:
        books = Book.objects.using(self.database).filter(condition)
        self.write(lambda: books.update(**values))

    @rule(pk=BOOKS, values=st.fixed_dictionaries({}, optional=COLUMNS), some=st.booleans())
    def save(self, pk: int, values: dict[str, Any], some: bool) -> None:
        def run() -> None:
            book = Book.objects.using(self.database).get(pk=pk)
            for name, value in values.items():
                setattr(book, name, value)
            book.save(update_fields=list(values) if some else None)

        self.write(run)

    @rule(row=ARRAY_ROWS, pk=st.integers(1, 4))
    def save_arrays(self, row: dict[str, Any], pk: int) -> None:
        assume(self.vendor == POSTGRES)
        self.write(lambda: PostgresField(pk=pk, **row).save(using=self.database))

    @precondition(lambda self: not self.is_raw)
    @rule(values=st.fixed_dictionaries(COLUMNS), count=st.integers(1, 3))
    def insert(self, values: dict[str, Any], count: int) -> None:
        books = Book.objects.using(self.database)
        self.write(lambda: books.bulk_create([Book(**values) for _ in range(count)]))

    @precondition(lambda self: not self.is_raw)
    @rule(pk=BOOKS, condition=CONDITIONS)
    def delete(self, pk: int, condition: Q) -> None:
        """Delete one book at most: an empty library tells nothing."""
        self.write(lambda: Book.objects.using(self.database).filter(condition, pk=pk).delete())

    @precondition(lambda self: not self.is_raw)
    @rule(name=st.sampled_from(sorted(writes_for(POSTGRES))))
    def write_by_name(self, name: str) -> None:
        write = writes_for(self.vendor).get(name)
        assume(write)
        if write is not None:
            self.write(lambda: write(self.database))

    # --- transactions -----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.blocks) < 2 and not self.is_raw)
    @rule()
    def open_block(self) -> None:
        block = transaction.atomic(using=self.database)
        block.__enter__()
        self.blocks.append(block)

    @precondition(lambda self: self.blocks)
    @rule(keep=st.booleans())
    def close_block(self, keep: bool) -> None:
        if not keep:
            transaction.set_rollback(True, using=self.database)
        while self.blocks:
            self.leave_block()
        self.compare_all()

    def leave_block(self) -> None:
        """A key without its row, which the database finds at the commit, rolls all back."""
        with contextlib.suppress(IntegrityError):
            self.blocks.pop().__exit__(None, None, None)

    @precondition(lambda self: not self.blocks and not self.is_raw)
    @rule(isolation=st.sampled_from(["", " ISOLATION LEVEL REPEATABLE READ"]))
    def open_raw(self, isolation: str) -> None:
        """Have raw SQL begin a transaction, in which Django, which knows nothing of it, can't begin its own."""
        self.run(f"BEGIN{isolation if self.vendor == POSTGRES else ''}")
        self.is_raw = True

    @precondition(lambda self: self.is_raw)
    @rule(end=st.sampled_from(["COMMIT", "ROLLBACK"]))
    def close_raw(self, end: str) -> None:
        with contextlib.suppress(IntegrityError):  # as leave_block() does; SQLite's transaction is then still open
            self.run(end)
        if end == "COMMIT" and self.vendor != POSTGRES and connections[self.database].connection.in_transaction:
            self.run("ROLLBACK")
        self.is_raw = False
        self.compare_all()

    def teardown(self) -> None:
        if self.is_raw:
            self.run("ROLLBACK")
        while self.blocks:
            self.leave_block()
        world.empty(self.database)
        self.settings.disable()
        assert not connections[self.database].in_atomic_block
