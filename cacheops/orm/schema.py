"""What is known of the project's tables: their models, their columns, and which columns may stand in a tag."""

import uuid
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import deletion

from cacheops.engine import memo
from cacheops.profiles import profile_of

INTEGER_FIELDS: tuple[type, ...] = (
    models.AutoField,
    models.BigAutoField,
    models.SmallAutoField,
    models.IntegerField,
    models.BigIntegerField,
    models.SmallIntegerField,
    models.PositiveIntegerField,
    models.PositiveBigIntegerField,
    models.PositiveSmallIntegerField,
)
TEXT_FIELDS: tuple[type, ...] = (
    models.CharField,
    models.SlugField,
    models.EmailField,
    models.URLField,
    models.TextField,
)
TAG_SIGNS = frozenset(",/=&#")  # have a meaning in the names of schemes and tags
# Since Django 6.1 the database can do what follows a deletion.
BY_DATABASE: type | tuple[()] = getattr(deletion, "DatabaseOnDelete", ())
RANGE_FIELDS = frozenset({models.DateField, models.DateTimeField})
# The type of the values that a field's get_prep_value() gives back as they are.
PLAIN_TYPES: dict[type, type] = {
    **dict.fromkeys(INTEGER_FIELDS, int),
    **dict.fromkeys(TEXT_FIELDS, str),
    models.BooleanField: bool,
    models.UUIDField: uuid.UUID,
}
# Fields whose equality in the database is the equality of their Python values. A subclass may encrypt or fold case.
EXACT_FIELDS = frozenset({*INTEGER_FIELDS, *TEXT_FIELDS, *RANGE_FIELDS, models.BooleanField, models.UUIDField})


@memo(1)
def models_by_table() -> dict[str, type[models.Model]]:
    """Return the concrete model of each table, those that Django makes for many-to-many fields included."""
    return {
        model._meta.db_table: model
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy and not model._meta.swapped
    }


@memo(1)
def tables_by_lower_name() -> dict[str, str]:
    """Return the tables by their names in small letters: databases fold the names that a statement does not quote."""
    return {table.lower(): table for table in models_by_table()}


@memo(4096)
def tables_named(word: str) -> tuple[str, ...]:
    """Return the tables that a word of a statement, in small letters, may stand for.

    A partition, which no model knows, is named after its table.
    """
    tables = tables_by_lower_name()
    if word in tables:
        return (tables[word],)
    return tuple(table for name, table in tables.items() if word.startswith(f"{name}_"))


@memo()
def dependents(table: str) -> frozenset[str]:
    """Return a table and all that refer to it, directly or through others: TRUNCATE ... CASCADE empties them too."""
    return _reached(table, object) | {table}


@memo()
def changed_by_deleting(table: str) -> frozenset[str]:
    """Return the tables, itself perhaps, whose rows the database itself changes or deletes with those of a table."""
    return _reached(table, BY_DATABASE)


def _reached(table: str, on_delete: type | tuple[()]) -> frozenset[str]:
    """Return the tables that refer to a table by relations with such an `on_delete`, directly or through others."""
    found: set[str] = set()
    waiting = [table]
    while waiting:
        model = models_by_table().get(waiting.pop())
        relations = model._meta.get_fields(include_hidden=True) if model else ()
        named = {
            relation.related_model._meta.db_table
            for relation in relations
            if relation.auto_created
            and not relation.concrete
            and isinstance(relation.related_model, type)
            and isinstance(getattr(relation, "on_delete", None), on_delete)
        }
        waiting += named - found
        found |= named
    return frozenset(found)


@memo()
def is_tracked(table: str) -> bool:
    """Say whether writes to a table are announced, so that reads of it may be cached."""
    model = models_by_table().get(table)
    return model is not None and profile_of(model) is not None


@memo()
def fields_by_column(table: str) -> "dict[str, models.Field[Any, Any]]":
    """Return the fields of a table's own columns; for a child of multi-table inheritance without its parents'."""
    return {str(field.column): field for field in models_by_table()[table]._meta.local_concrete_fields}


@memo()
def key_columns(table: str) -> tuple[str, ...]:
    """Return the columns of a table's primary key."""
    return tuple(str(field.column) for field in models_by_table()[table]._meta.pk_fields)


def compared_as(field: "models.Field[Any, Any]") -> "models.Field[Any, Any]":
    """Return the field that says how a column's values compare: a foreign key's is the one that it refers to."""
    while field.remote_field is not None and hasattr(field, "target_field"):
        field = field.target_field
    return field


@memo(4096)
def is_exact(table: str, column: str) -> bool:
    """Say whether a condition on this column may stand in a tag."""
    field = fields_by_column(table).get(column) if table in models_by_table() else None
    if field is None or not frozenset(column).isdisjoint(TAG_SIGNS):
        return False
    field = compared_as(field)
    return type(field) in EXACT_FIELDS and not getattr(field, "db_collation", None)


@memo(4096)
def plain_type(table: str, column: str) -> type | None:
    """Return the type whose values of a column compare as they are, without being prepared."""
    return PLAIN_TYPES.get(type(compared_as(fields_by_column(table)[column])))


@memo(4096)
def has_ranges(table: str, column: str) -> bool:
    """Say whether a range condition on this column may stand in a tag, as buckets."""
    return is_exact(table, column) and type(compared_as(fields_by_column(table)[column])) in RANGE_FIELDS
