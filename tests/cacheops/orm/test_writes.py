"""Every kind of write against reads of every kind: afterwards the cache says what the database says."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from cacheops.reading.options import bypassed
from cacheops.signals import cache_invalidated
from tests.cacheops.orm.conftest import DATABASES
from tests.testapp import world
from tests.testapp.cached import is_hit
from tests.testapp.compare import plain
from tests.testapp.queries import reads_for
from tests.testapp.writes import ON_POSTGRES, WRITES, writes_for

pytestmark = pytest.mark.django_db(databases="__all__")

# Reads by every kind of dependency: keys, conditions, joins, subqueries, sets, relations, inheritance.
DEPENDENT = (
    *("get_pk", "get_two_conditions", "get_none", "get_across", "one_to_one_reverse", "one_to_one_missing"),
    *("generic_fk", "filter_two", "filter_in", "filter_null", "filter_and_or", "filter_moments", "exclude_many"),
    *("filter_join_own", "filter_join_twice", "filter_join_null", "filter_join_or", "filter_self", "filter_through"),
    *("filter_generic", "slice_filtered", "in_bulk_field", "values_grouped", "annotate_subquery_ordered_by_join"),
    *("annotate_related_filter", "subquery_in_values", "not_exists_filter", "difference", "count_filtered"),
    *("select_related_reverse", "prefetch", "many_to_many_reverse", "child_by_parent", "child_by_own", "parent"),
)
CASES = [(alias, name) for alias in DATABASES for name in (WRITES | ON_POSTGRES if alias == "default" else WRITES)]


def read_all(alias: str) -> dict[str, Any]:
    reads = reads_for(connections[alias].vendor)
    return {name: plain(reads[name](alias)) for name in DEPENDENT}


def differences(alias: str) -> dict[str, tuple[Any, Any]]:
    """Return what the cache says of each read, and the database, where they are not the same."""
    cached = read_all(alias)
    with bypassed():
        stored = read_all(alias)
    return {name: (cached[name], stored[name]) for name in DEPENDENT if cached[name] != stored[name]}


@pytest.fixture
def warm(library: str) -> str:
    read_all(library)
    return library


@pytest.mark.parametrize(("database", "name"), CASES)
def test_after_a_write_the_cache_says_what_the_database_says(name: str, warm: str) -> None:
    writes_for(connections[warm].vendor)[name](warm)
    assert differences(warm) == {}


SOURCES = {
    "save": [
        *("save_new", "save_all", "save_some", "save_expression", "save_with_key", "create", "create_related"),
        *("get_or_create_new", "update_or_create_new", "update_or_create_old", "child_save", "child_create"),
    ],
    "update": ["update", "update_f", "update_all", "update_joined"],
    "delete": ["delete", "queryset_delete", "queryset_raw_delete"],
    "bulk": ["bulk_create", "bulk_create_many", "bulk_create_ignoring", "bulk_create_updating", "bulk_update"],
    "raw SQL": ["raw_update"],
}


@pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source, names in SOURCES.items() for name in names if name in WRITES]
)
def test_an_invalidation_is_counted_by_what_has_written(source: str, name: str, warm: str) -> None:
    heard = []

    def hear(sender: Any, source: str, **kwargs: Any) -> None:
        heard.append(source)

    cache_invalidated.connect(hear)
    try:
        writes_for(connections[warm].vendor)[name](warm)
    finally:
        cache_invalidated.disconnect(hear)
    assert heard
    assert set(heard) == {source}


def in_a_block(alias: str, write: Callable[[str], Any]) -> None:
    with transaction.atomic(using=alias):
        write(alias)
        assert differences(alias) == {}


def in_a_durable_block(alias: str, write: Callable[[str], Any]) -> None:
    with transaction.atomic(using=alias, durable=True):
        write(alias)


def in_a_savepoint(alias: str, write: Callable[[str], Any]) -> None:
    with transaction.atomic(using=alias):
        with transaction.atomic(using=alias):
            write(alias)
        assert differences(alias) == {}


def in_a_savepoint_rolled_back(alias: str, write: Callable[[str], Any]) -> None:
    with transaction.atomic(using=alias):
        with transaction.atomic(using=alias):
            write(alias)
            transaction.set_rollback(True, using=alias)
        assert differences(alias) == {}


def rolled_back(alias: str, write: Callable[[str], Any]) -> None:
    with transaction.atomic(using=alias):
        write(alias)
        assert differences(alias) == {}
        transaction.set_rollback(True, using=alias)


def by_hand(alias: str, write: Callable[[str], Any]) -> None:
    transaction.set_autocommit(False, using=alias)
    try:
        write(alias)
        transaction.commit(using=alias)
    finally:
        transaction.rollback(using=alias)
        transaction.set_autocommit(True, using=alias)


def ended_by_autocommit(alias: str, write: Callable[[str], Any]) -> None:
    """SQLite commits what is open when autocommit is switched on again; PostgreSQL refuses to."""
    transaction.set_autocommit(False, using=alias)
    try:
        write(alias)
        if connections[alias].vendor == "postgresql":
            transaction.commit(using=alias)
    finally:
        transaction.set_autocommit(True, using=alias)


WAYS = [in_a_block, in_a_durable_block, in_a_savepoint, in_a_savepoint_rolled_back, rolled_back, by_hand]
WAYS += [ended_by_autocommit]
SOME = ["save_all", "delete_set_null", "raw_update"]


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("way", WAYS)
def test_after_a_write_in_a_transaction(way: Any, name: str, warm: str) -> None:
    way(warm, writes_for(connections[warm].vendor)[name])
    assert differences(warm) == {}


def test_a_failed_statement_leaves_nothing_behind(warm: str) -> None:
    write = writes_for(connections[warm].vendor)["create_missing"]
    write(warm)
    with pytest.raises(Exception, match=r"(?i)unique"):
        write(warm)
    assert differences(warm) == {}


def test_a_write_to_one_database_is_none_to_the_other(cache: str) -> None:
    read = reads_for("sqlite")["filter"]
    for alias in DATABASES:
        world.empty(alias)
        world.fill(alias)
        read(alias)
    writes_for("sqlite")["update_all"]("other")
    assert is_hit("default", lambda: read("default"))
    assert not is_hit("other", lambda: read("other"))
    for alias in DATABASES:
        world.empty(alias)
