"""The writing side of the database backends: what Django's compilers write is noted, row by row, before and after.

Values after come from RETURNING. Values before are needed only of columns that the statement sets and that stand in a
condition of some query; they are read under the rows' locks, in the same transaction.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any

from django.apps import apps
from django.core.exceptions import EmptyResultSet
from django.db.models import Model
from django.db.models.constants import OnConflict
from django.db.models.expressions import Case
from django.db.models.sql.compiler import SQLCompiler, SQLDeleteCompiler, SQLInsertCompiler, SQLUpdateCompiler
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI, ROW_COUNT
from django.db.models.sql.query import Query
from django.db.models.sql.where import WhereNode

from cacheops.conf import conf
from cacheops.engine import memo
from cacheops.orm.catalogue import columns_of
from cacheops.orm.dependencies import value_of
from cacheops.orm.hydration import dict_maker
from cacheops.orm.optimistic_save import is_row_of, update_as_expected
from cacheops.orm.schema import (
    changed_by_deleting,
    fields_by_column,
    is_tracked,
    key_columns,
    models_by_table,
    plain_type,
)
from cacheops.orm.transaction import Statement, Transaction, wanted_columns
from cacheops.signals import cache_invalidated, rows_changed
from cacheops.writing.changes import ChangeSource

Values = Mapping[str, Any]  # column -> value
NO_VALUES: list[Values] = [{}]  # rows were changed, and no value was asked for: what has conditions is not known


@memo()
def fields_named(model: type[Model], columns: frozenset[str]) -> list[Any]:
    """Return the fields of these columns, in the model's order; none where it has not all of them."""
    concrete = model._meta.concrete_model or model
    fields = [field for field in concrete._meta.local_concrete_fields if field.column in columns]
    return fields if len(fields) == len(columns) else []


dictionaries = memo()(dict_maker)


@memo()
def needs_converters(database: str, table: str, columns: tuple[str, ...]) -> bool:
    """Say whether Django converts what a database's driver returns of some of a table's columns."""
    compiler: SQLCompiler = Query(models_by_table()[table]).get_compiler(database)
    return bool(compiler.get_converters([fields_by_column(table)[column].get_col(table) for column in columns]))


def has_listeners() -> bool:
    """Say whether others than the collector are told which rows a write changes."""
    return bool(cache_invalidated.receivers) or len(rows_changed.receivers) > 1


def parts_of(value: Any) -> Iterable[Any]:
    """Return a value that a column is set to, and what it is made of."""
    return value.flatten() if hasattr(value, "flatten") else (value,)


class CapturingCompiler(SQLCompiler):
    """What the three writing compilers share."""

    query: Any
    connection: Any
    using: str

    @property
    def transaction(self) -> Transaction:
        return self.connection.cacheops.transaction

    @property
    def table(self) -> str:
        return self.query.get_meta().db_table

    @property
    def keys(self) -> Sequence[Any]:
        """The fields of the primary key."""
        return self.query.get_meta().pk_fields

    def wanted_fields(self) -> list[Any]:
        """Return the fields whose values decide which tags a row lies in.

        Empty where the model does not know them all: what then changes is noted without values, as the whole table. So
        with a migration's model, which is of another time: a column may not be there yet, or hold something else.
        """
        table, model = self.table, self.query.model
        if table not in models_by_table() or model._meta.apps is not apps:
            return []
        columns = wanted_columns(self.using, table)
        if columns or (cache_invalidated.receivers and is_tracked(table)):  # who listens is told the keys
            columns = columns.union(key_columns(table))
        return fields_named(model, columns)

    def returning(self, fields: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
        """Return a RETURNING clause. (Django 6 has renamed the operation.)"""
        operations = self.connection.ops
        clause = getattr(operations, "returning_columns", None) or operations.return_insert_columns
        sql, parameters = clause(fields)
        return sql, tuple(parameters)

    def converted(self, fields: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[Values]:
        """Return rows of columns, as the database has given them, as a condition would hold their values."""
        if needs_converters(self.using, self.table, tuple([field.column for field in fields])):
            compiler: SQLCompiler = Query(self.query.model).get_compiler(self.using)
            converters = compiler.get_converters([field.get_col(self.table) for field in fields])
            rows = list(compiler.apply_converters(rows, converters))
        return self.comparable(fields, rows)

    def comparable(self, fields: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[Values]:
        """Return rows of columns that were converted already as a condition would hold their values."""
        table, names = self.table, tuple([field.column for field in fields])
        for place, name in enumerate(names):
            if not {type(row[place]) for row in rows} <= {plain_type(table, name), NoneType}:
                rows = [[value_of(table, *one) for one in zip(names, row, strict=True)] for row in rows]
                break
        found: list[Any] = dictionaries(names)(rows)
        return found

    def run_returning(self, sql: str, params: Sequence[Any], fields: Sequence[Any]) -> tuple[int, list[Values]]:
        """Execute a statement with a RETURNING clause for `fields`; return the number of rows, and their values."""
        clause, parameters = self.returning(fields)
        with self.connection.cursor() as cursor:
            cursor.execute(f"{sql} {clause}", (*params, *parameters))
            rows = cursor.fetchall()
        return len(rows), self.converted(fields, rows)


class CapturingDelete(CapturingCompiler, SQLDeleteCompiler):
    """DELETE: the rows as they were come back from the statement itself."""

    def execute_sql(
        self,
        result_type: str | None = MULTI,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        run: Callable[..., Any] = super().execute_sql
        with self.transaction.orm_statement():
            fields = self.wanted_fields()
            if not fields or not self._is_bounded():
                self.transaction.changed_rows(self.table, NO_VALUES, ChangeSource.DELETE)
                self._note_followers()
                return run(result_type, chunked_fetch, chunk_size)
            try:
                sql, params = self.as_sql()
            except EmptyResultSet:  # its conditions match nothing, as an empty IN does
                return None
            count, rows = self.run_returning(sql, params, fields)
            self.transaction.changed_rows(self.table, rows, ChangeSource.DELETE)
            if count:
                self._note_followers()
            return count if result_type == ROW_COUNT else None

    def _note_followers(self) -> None:
        """Note what the database itself does with rows that refer to the deleted ones (DB_CASCADE and its kin)."""
        for table in changed_by_deleting(self.table):
            self.transaction.changed_table(table, ChangeSource.DELETE)

    def _is_bounded(self) -> bool:
        """Deleting everything returns nothing: it would be the whole table, through memory."""
        where: WhereNode = self.query.where
        return bool(where.children)


class CapturingUpdate(CapturingCompiler, SQLUpdateCompiler):
    """UPDATE: values after from the statement, values before where it sets a column of a condition."""

    returning_fields: Any = None

    def execute_sql(self, result_type: str) -> Any:  # type: ignore[override]  # as Django's differs
        if update_as_expected(self):
            return 1
        with self.transaction.orm_statement():
            count = self._update()
            aux_counts = [
                query.get_compiler(self.using).execute_sql(result_type) for query in self.query.get_related_updates()
            ]
            if count is None:
                count = next((aux for aux in aux_counts if aux), 0)
            return count

    def _update(self) -> int | None:
        """Run the statement of this table; None where there is nothing to set in it, or no row that could match."""
        fields = self.wanted_fields()
        try:
            sql, params = self.as_sql()
        except EmptyResultSet:
            return None
        if not sql:
            return None
        if not fields:
            self.transaction.changed_rows(self.table, NO_VALUES, self._source())
            with self.connection.cursor() as cursor:
                cursor.execute(sql, params)
                return cursor.rowcount
        named = [*fields, *(key for key in self.keys if key not in fields)]
        locking = self._locking(named) if self._moves_any(fields) else None
        clause, more = self.returning(named)
        statements = [locking] if locking else []
        *before, after = self.connection.cacheops.run([*statements, (f"{sql} {clause}", (*params, *more))])
        self._note(self.converted(named, before[0]) if before else None, self.converted(named, after))
        return len(after)

    def execute_returning_sql(self, returning_fields: Any) -> Any:
        """As execute_sql, with columns for the caller (Django 6)."""
        if not returning_fields:
            return [()] * self.execute_sql(ROW_COUNT)
        with self.transaction.orm_statement():
            fields = self.wanted_fields()
            asked = list(returning_fields)
            if not fields:
                self.transaction.changed_rows(self.table, NO_VALUES, self._source())
                return super().execute_returning_sql(asked)
            named = [*fields, *self.keys]
            before = None
            if self._moves_any(fields):
                before = self.converted(named, self.connection.cacheops.run([self._locking(named)])[0])
            rows = super().execute_returning_sql([*asked, *named])
            self._note(before, self.comparable(named, [row[len(asked) :] for row in rows]))
            return [tuple(row[: len(asked)]) for row in rows]

    def _source(self) -> ChangeSource:
        saving = self.transaction.save.instance
        if saving is not None and is_row_of(self.query, saving):
            return ChangeSource.SAVE
        # bulk_update() says what each row gets.
        by_case = any(isinstance(part, Case) for _, _, value in self.query.values for part in parts_of(value))
        return ChangeSource.BULK if by_case else ChangeSource.UPDATE

    def _moves_any(self, fields: Sequence[Any]) -> bool:
        """Say whether the statement may change one of these columns, by itself or by what the database sets with it."""
        return self._sets_any(fields) or columns_of(self.using, self.table).moved

    def _sets_any(self, fields: Sequence[Any]) -> bool:
        columns = {field.column for field, _, _ in self.query.values}
        return any(field.column in columns for field in fields)

    def _locking(self, named: Sequence[Any]) -> Statement:
        """Return the SELECT that locks the rows and tells what they are."""
        query = self.query.chain(klass=Query)
        query.clear_ordering(force=True)
        query.select_related = False
        # What can't be locked: by now, the conditions that need a join or a group are a list of keys.
        query.distinct, query.distinct_fields, query.group_by = False, (), None
        query.clear_select_clause()
        query.add_fields([field.name for field in named])
        sql, parameters = query.get_compiler(self.using).as_sql()
        features, operations = self.connection.features, self.connection.ops
        if features.has_select_for_update:  # not the query's own, which Django refuses in a raw transaction
            # Its own rows alone: those that it joins are not written, and an outer join's far side can't be locked.
            own = (operations.quote_name(query.get_initial_alias()),) if features.has_select_for_update_of else ()
            sql = f"{sql} {operations.for_update_sql(of=own)}"
        return sql, tuple(parameters)

    def _note(self, before: list[Values] | None, after: list[Values]) -> None:
        if before is None:
            self.transaction.changed_rows(self.table, after, self._source())
        elif self._keys_of(after) <= self._keys_of(before) or self._sets_any(self.keys):
            self.transaction.changed_rows(self.table, [*before, *after], self._source())
        else:  # a row that was not there when the others were locked: what it was before is not known
            self.transaction.changed_table(self.table, self._source())

    def _keys_of(self, rows: Iterable[Values]) -> set[tuple[Any, ...]]:
        columns = [field.column for field in self.keys]
        return {tuple(row[column] for column in columns) for row in rows}


class CapturingInsert(CapturingCompiler, SQLInsertCompiler):
    """INSERT: the values come back from the statement itself: the database may have cut or replaced what was given."""

    returning_fields: Any = None

    def execute_sql(self, returning_fields: Any = None) -> Any:  # type: ignore[override]  # as Django's differs
        with self.transaction.orm_statement():
            fields = self.wanted_fields()
            if fields and not returning_fields and self._skips_known():
                self.transaction.changed_rows(self.table, self._insert_new(fields), self._source())
                return []
            if not fields:
                self.transaction.changed_rows(self.table, NO_VALUES, self._source())
            elif self.query.on_conflict is not None or self._marks_table(fields):
                self.transaction.changed_table(self.table, self._source())
            else:
                return self._insert_returning(list(returning_fields or ()), fields)
            return super().execute_sql(returning_fields)

    def _source(self) -> ChangeSource:
        objects = self.query.objs
        is_save = len(objects) == 1 and objects[0] is self.transaction.save.instance
        return ChangeSource.SAVE if is_save else ChangeSource.BULK

    def _marks_table(self, fields: Sequence[Any]) -> bool:
        """Say whether the rows are so many that the whole table is marked, so that nobody needs their values."""
        own_tag = len(self.keys) == 1 and self.keys[0] in fields  # each row has one
        most = conf.max_marks if own_tag and not has_listeners() else 2 * conf.max_marks
        return len(self.query.objs) > most

    def _skips_known(self) -> bool:
        """Say whether rows that are there already are left as they are, and the statement can say which were not."""
        return self.query.on_conflict == OnConflict.IGNORE and self.connection.features.can_return_rows_from_bulk_insert

    def _insert_new(self, fields: Sequence[Any]) -> list[Values]:
        """Insert what is not there yet; return the rows that were inserted: the others have changed nothing."""
        self.returning_fields = fields
        rows: list[Any] = []
        with self.connection.cursor() as cursor:
            for sql, params in self.as_sql():
                cursor.execute(sql, params)
                rows += cursor.fetchall()
        return self.converted(fields, rows)

    def _insert_returning(self, asked: Sequence[Any], fields: Sequence[Any]) -> list[Any]:
        """Insert, note the rows' values, and return what the caller has asked for."""
        named = [*asked, *(field for field in fields if field not in asked)]
        places = [named.index(field) for field in fields]
        rows = super().execute_sql(named)
        own = self.comparable(fields, [[row[place] for place in places] for row in rows])
        self.transaction.changed_rows(self.table, own, self._source())
        return [tuple(row[: len(asked)]) for row in rows] if asked else []
