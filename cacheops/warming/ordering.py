"""In which order a model's rows are warmed: the most used first, then the others."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from cacheops.databases import table_keys
from cacheops.exceptions import StoreError
from cacheops.protocol.keys import TableKeys, parse
from cacheops.reading.options import bypassed
from cacheops.regions import regions
from cacheops.regions.hotkeys import hotkeys
from cacheops.warming.replica import cached_alias

PAGE = 5000  # keys asked for at a time


def hot_keys(model: type[models.Model], since: float, names: Sequence[str]) -> list[Any]:
    """Return the primary keys of a model's rows that were read in regions since a moment, the most used first.

    A row is named by a condition on one of its unique columns, and by one on a foreign key that leads to it: reading
    the devices of a location is use of the location.
    """
    using = cached_alias(model)
    columns = _naming_columns(model, using)
    tables = {keys for keys, _ in columns}
    found: Counter[tuple[str, Any]] = Counter()  # by the unique field's name and value
    for name in names:
        try:
            used = hotkeys.top(regions[name], since)
        except StoreError:  # a cluster that does not answer
            continue
        for tag_key, count in used.items():
            tag = parse(tag_key)
            if tag and tag.keys in tables:
                for column, value in _values(tag.name):
                    field = columns.get((tag.keys, column))
                    if field is not None and (plain := _plain(field, value)) is not None:
                        found[field.name, plain] += count
    return [key for key, _ in _by_key(model, using, found).most_common()]


def _naming_columns(model: type[models.Model], using: str) -> dict[tuple[TableKeys, str | None], Any]:
    """Return the columns that name rows of a model, by table and column, each with the unique field that it tells."""
    own = table_keys(using, model._meta.db_table)
    found: dict[tuple[TableKeys, str | None], Any] = {
        (own, field.column): field for field in model._meta.concrete_fields if field.unique
    }
    for relation in model._meta.related_objects:
        for field in relation.field, *_through_fields(relation):
            if field.is_relation and field.concrete and field.many_to_one and field.related_model is model:
                keys = table_keys(using, field.model._meta.db_table)
                found[keys, field.column] = field.target_field
    return found


def _through_fields(relation: Any) -> list[Any]:
    through = getattr(relation, "through", None)
    return [] if through is None else list(through._meta.concrete_fields)


def _values(tag: str) -> Iterator[tuple[str, str]]:
    """Yield the columns and tokens of a tag's equalities; a bucket of a range is none."""
    for part in tag.split("&"):
        column, _, value = part.partition("=")
        if "/" not in column and value != "~":
            yield column, value.removeprefix("'")


def _plain(field: Any, text: str) -> Any:
    """Return the value that a token stands for, None where it is none of this field's."""
    try:
        return field.to_python(text)
    except (ValidationError, ValueError, TypeError):
        return None


def _by_key(model: type[models.Model], using: str, found: Counter[tuple[str, Any]]) -> Counter[Any]:
    """Return the counts by primary key: other unique values are looked up."""
    own = model._meta.pk.name
    counts: Counter[Any] = Counter()
    others: dict[str, dict[Any, int]] = {}
    for (name, value), count in found.items():
        if name == own:
            counts[value] += count
        else:
            others.setdefault(name, {})[value] = count
    with bypassed():
        for name, values in others.items():
            rows = model._base_manager.using(using).filter(**{f"{name}__in": list(values)}).values_list(name, "pk")
            for value, key in rows:
                counts[key] += values[value]
    return counts


def existing_keys(model: type[models.Model], keys: Sequence[Any]) -> Iterator[Any]:
    """Yield those of the primary keys that are rows', in their order: deleted rows are counted as used for a day."""
    rows = model._base_manager.using(cached_alias(model)).order_by()
    for start in range(0, len(keys), PAGE):
        page = keys[start : start + PAGE]
        with bypassed():
            found = set(rows.filter(pk__in=page).values_list("pk", flat=True))
        yield from (key for key in page if key in found)


def other_keys(model: type[models.Model], after: Any, but: frozenset[Any], *, newest: bool) -> Iterator[Any]:
    """Yield the primary keys after one, in their order (`newest`: from the last one down), but for some."""
    using = cached_alias(model)
    order, condition = ("-pk", "pk__lt") if newest else ("pk", "pk__gt")
    while True:
        rows = model._base_manager.using(using).order_by(order)
        if after is not None:
            rows = rows.filter(**{condition: after})
        with bypassed():
            page = list(rows.values_list("pk", flat=True)[:PAGE])
        if not page:
            return
        yield from (key for key in page if key not in but)
        after = page[-1]


def count_rows(model: type[models.Model]) -> int:
    with bypassed():
        found: int = model._base_manager.using(cached_alias(model)).count()
    return found


def hours_ago(hours: float) -> float:
    """Return the moment so many hours ago, in seconds since the epoch."""
    return time.time() - hours * 3600
