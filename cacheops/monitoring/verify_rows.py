"""What entries hold beside what the database returns now, many with the same few questions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.db import connections, transaction

from cacheops.conf import conf
from cacheops.databases import name_of, session_of
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Row
from cacheops.exceptions import CorruptEntry
from cacheops.monitoring.verify_follower import FollowerRules
from cacheops.orm.connection import cacheops_of
from cacheops.protocol.keys import parse
from cacheops.reading.options import bypassed
from cacheops.reading.recipes import Recipe
from cacheops.regions import Region


def equal_at_once(region: Region, recipes: Sequence[Recipe]) -> set[str]:
    """Return the keys of those entries that are found equal; nothing is said of the others."""
    found: set[str] = set()
    by_alias: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        if is_known(recipe):
            by_alias.setdefault(recipe.alias, []).append(recipe)
    for alias, those in by_alias.items():
        keys = list({key: None for recipe in those for key in recipe.keys})
        before = _read_each(region, alias, keys)
        if alias in conf.followers and not FollowerRules(region, alias, keys).is_shown():
            continue
        with read_only(alias):
            are_equal = [_is_equal(recipe, before) for recipe in those]
        after = _read_each(region, alias, keys)
        for recipe, is_equal in zip(those, are_equal, strict=True):
            if is_equal and all(before[key] == after[key] for key in recipe.keys):
                found.add(recipe.keys[0])
    return found


def _read_each(region: Region, alias: str, keys: Sequence[str]) -> dict[str, bytes | None]:
    return dict(zip(keys, region.read(keys, (alias,)), strict=True))


def _is_equal(recipe: Recipe, values: Mapping[str, bytes | None]) -> bool:
    """Return whether an entry is served, and holds what its statement returns now."""
    payload, *tags = [values[key] for key in recipe.keys]
    try:
        entry = None if payload is None else codec.decode(payload, recipe.keys[0], recipe.columns)
        if entry is None or entry.versions != b"".join([value or b"" for value in tags]):
            return False
        return rows_are_equal(entry.rows(), rows_of(recipe, entry.layout.columns))
    except CorruptEntry:
        return False


def is_known(recipe: Recipe) -> bool:
    """Return whether a recipe's database is one of ours, read in a session like its own.

    The replica of a region is known to processes of that region alone; in a test case of Django, to those that name it.
    """
    parsed, alias = parse(recipe.keys[0]), recipe.alias
    if parsed is None or alias not in connections.settings or cacheops_of(alias).is_forbidden():
        return False
    return parsed.database == name_of(alias) and recipe.session == session_of(alias)


@contextmanager
def read_only(alias: str) -> Iterator[None]:
    with bypassed(), transaction.atomic(using=alias):
        if connections[alias].vendor == "postgresql":
            with connections[alias].cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
        yield


def rows_of(recipe: Recipe, columns: int) -> list[Row]:
    """Run the statement; return its rows, cut to the columns that an entry holds."""
    with connections[recipe.alias].cursor() as cursor:
        cursor.execute(recipe.sql, recipe.values)
        return [tuple(row[: columns or None]) for row in cursor.fetchall()]


def rows_are_equal(held: Sequence[Row], loaded: Sequence[Row]) -> bool:
    """Return whether rows are the same; in whatever order: a statement may leave it open."""
    kept = codec.decode(codec.encode(loaded, b"", 0.0, 0.0, 0.0)).rows()
    return list(held) == kept or sorted(map(repr, held)) == sorted(map(repr, kept))
