"""A save of one row in one statement: marked by the values expected, which the statement itself checks.

Other writes need a transaction: what a row's tags are, its statement tells, and the marks must stand before the commit.
But who saves an instance mostly knows the row: its columns with conditions hold what the instance holds. So the tags of
these expected values are marked first. Then one statement, which commits by itself, changes the row if it has them:

- its WHERE asks for the values before (R14), which PostgreSQL checks under the row's lock;
- its RETURNING fails, and with it the statement, where the values after are others (R15: a trigger, a generated
  column), or where it has waited so long that the marks may have run out.

Where they were wrong, nothing has changed: the marks are taken off, and the write goes the long way.
"""

import datetime as dt
import enum
import time
import uuid
from typing import Any

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models import Model
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, IntegerFieldExact
from django.db.models.signals import post_save, pre_save

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.orm.catalogue import exact_columns
from cacheops.orm.commit import announce
from cacheops.orm.connection import UNCACHED, CachedConnection, cacheops_of
from cacheops.orm.dependencies import value_of
from cacheops.orm.no_invalidation import is_invalidation_disabled
from cacheops.orm.schema import fields_by_column, is_exact, is_tracked
from cacheops.orm.transaction import Transaction
from cacheops.regions import regions
from cacheops.writing.changes import ChangeSource
from cacheops.writing.intent import WriteIntent

EXACT_TYPES = (int, str, uuid.UUID, dt.date, type(None))  # and subclasses: bool, datetime
SAFE_SHARE = 0.5  # of a mark's time: the statement gives up when so much has passed
REST_SECONDS = 60.0  # for which a table's saves go the long way after a statement that has refused itself
REFUSED = "22012"  # division by zero: of the statement's own check, or of an expression of the caller's
# A server that says so has rolled the statement back. After other errors of these kinds nobody knows.
ROLLED_BACK = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available


class Cooldowns(Component):
    """Tables whose saves go the long way for a while."""

    def __init__(self) -> None:
        self.until: dict[tuple[str, str], float] = {}  # by database and table: monotonic seconds


cooldowns = register_component(Cooldowns())


def note_save(
    sender: Any, *, instance: Any = None, using: str | None = None, update_fields: Any = None, **kwargs: Any
) -> None:
    """Note which instance is about to be saved: the next UPDATE of this connection may be its own."""
    connection = UNCACHED if instance is None or using is None else cacheops_of(using)
    if isinstance(connection, CachedConnection):
        connection.transaction.save.begin(instance, names_fields=update_fields is not None)


def forget_save(sender: Any, *, using: str | None = None, **kwargs: Any) -> None:
    """Forget the instance: it has been saved."""
    connection = UNCACHED if using is None else cacheops_of(using)
    if isinstance(connection, CachedConnection):
        connection.transaction.save.end()


pre_save.connect(note_save, dispatch_uid="cacheops.save")
post_save.connect(forget_save, dispatch_uid="cacheops.save")


def update_as_expected(compiler: Any) -> bool:
    """Run the UPDATE of an instance's save() in one statement; return False where nothing was done."""
    connection: CachedConnection = compiler.connection.cacheops
    instance, table = connection.transaction.save.instance, compiler.table
    if instance is None or not connection.commits_each():
        return False
    if any(region.breaker.failures for region in regions.of(compiler.using)):
        return False  # a queue in the database would need a transaction
    if (
        not is_tracked(table)
        or is_invalidation_disabled()
        or not (is_row_of(compiler.query, instance) and _is_plain(compiler.query))
    ):
        return False
    if cooldowns.until.get((compiler.using, table), 0.0) > time.monotonic():
        return False
    expected = expected_values(compiler, instance, connection.transaction.save.names_fields)
    return expected is not None and _run(compiler, expected)


def is_row_of(query: Any, instance: Model) -> bool:
    """Say whether an UPDATE, of its own table or of a parent's, has an instance's primary key as its only condition."""
    conditions = query.where.children
    if len(conditions) != 1:
        return False
    column = getattr(conditions[0], "lhs", None)
    targets = getattr(column, "targets", None) or (getattr(column, "target", None),)
    return list(targets) == query.get_meta().pk_fields and conditions[0].rhs == instance.pk


def _is_plain(query: Any) -> bool:
    """Say whether the one condition of an UPDATE can be added to: an equality of one table's column."""
    condition = query.where.children[0]
    return (
        not query.where.negated
        and not query.related_updates
        and len(query.alias_map) <= 1
        and type(condition) in (Exact, IntegerFieldExact)
        and type(condition.lhs) is Col
    )


def expected_values(compiler: Any, instance: Model, named: bool) -> dict[str, Any] | None:
    """Return the row's values in all columns that count; None where they can't be known.

    A column that save(update_fields=...) names has most likely changed. Of what save() writes by itself most has not;
    foreign keys among it count too, as a changed one waits for the row that it names, after the statement's own check.
    """
    table, exact = compiler.table, exact_columns(compiler.using, compiler.table)
    fields = {field.column: field for field in compiler.wanted_fields()}
    changed = {field.column: field for field, _, _ in compiler.query.values}
    if named and any(field.remote_field or column in fields for column, field in changed.items()):
        return None
    fields |= {column: field for column, field in changed.items() if field.remote_field}
    expected: dict[str, Any] = {}
    for column, field in fields.items():
        value = instance.__dict__.get(field.attname, compiler)  # it has all that is not deferred
        if isinstance(value, enum.Enum):
            value = value.value
        if not isinstance(value, EXACT_TYPES) or column not in exact or not is_exact(table, column):
            return None
        try:
            expected[column] = value_of(table, column, value)
        except (TypeError, ValueError, ValidationError):
            return None
    return expected


def _run(compiler: Any, expected: dict[str, Any]) -> bool:
    """Mark, and compile the statement meanwhile; then run it."""
    transaction: Transaction = compiler.transaction
    with transaction.collected() as changes:
        transaction.changed_rows(compiler.table, [expected], ChangeSource.SAVE)
    connection = compiler.connection
    connection.close_if_health_check_failed()  # what can't be sent leaves no marks: entries are served while it is away
    connection.ensure_connection()
    intent = WriteIntent(compiler.using, changes)
    try:
        missed = intent.place_nowait()
        try:
            sql, parameters = compiler.as_sql()
        except EmptyResultSet:
            sql, parameters = "", ()
        reached = not missed() and sql != ""
    except BaseException:
        intent.cancel()
        raise
    done = reached and _execute(compiler, intent, expected, sql, parameters)
    if done:
        intent.clear()
        announce(compiler.using, changes)
    else:
        intent.cancel()
        if reached and compiler.connection.queries_logged:
            compiler.connection.queries_log.pop()  # the long way's statement stands for it
    return done


def _execute(compiler: Any, intent: WriteIntent, expected: dict[str, Any], sql: str, parameters: Any) -> bool:
    """Run the statement with its checks; return whether the row was changed. After other errors the marks stand."""
    connection, table = compiler.connection, compiler.table
    checks, values = _checks(connection, table, expected)
    seconds = conf.mark_seconds * SAFE_SHARE
    # Both clocks: the server's own is right; the other one knows of a wait before the statement came there.
    in_time = "clock_timestamp() < LEAST(statement_timestamp() + make_interval(secs => %s), to_timestamp(%s))"
    logged, message = connection.cacheops.marks_logged(intent)
    text = f"{sql}{checks} RETURNING 1 / (CASE WHEN {in_time}{checks} THEN 1 ELSE 0 END){logged}"
    try:
        with connection.cacheops.transaction.watched(), connection.cursor() as cursor:
            cursor.execute(text, (*parameters, *values, seconds, time.time() + seconds, *values, *message))
            return cursor.fetchone() is not None
    except (OperationalError, InterfaceError) as error:
        if getattr(error.__cause__, "sqlstate", None) in ROLLED_BACK:
            intent.cancel()
        raise
    except DatabaseError as error:  # the long way will tell, if it is the caller's
        if getattr(error.__cause__, "sqlstate", None) == REFUSED:
            cooldowns.until[connection.alias, table] = time.monotonic() + REST_SECONDS
        return False


def _checks(connection: Any, table: str, expected: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return the conditions that a row has the expected values, each after an AND, and their parameters."""
    fields, quoted = fields_by_column(table), connection.ops.quote_name
    text = "".join(f" AND {quoted(table)}.{quoted(column)} IS NOT DISTINCT FROM %s" for column in expected)
    return text, [
        fields[column].get_db_prep_value(value, connection, prepared=True) for column, value in expected.items()
    ]
