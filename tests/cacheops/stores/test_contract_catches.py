"""The shipped contract fails for stores that lose what another writer has marked, in whichever method they do."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from cacheops.stores.base import EncodedEntry, LeaseRequest, MarkedTable, TableTags
from cacheops.stores.memory import MemoryStore
from cacheops.testing.store_contract import StoreContract
from tests.cacheops.stores.conftest import Clock


def drop_marks(store: MemoryStore, keys: Sequence[str]) -> None:
    for key in keys:
        store._marks.pop(key, None)


def keys_of(tables: Sequence[MarkedTable] | Sequence[TableTags]) -> list[str]:
    return [key for table in tables for key in table.key_list()]


class DropsInMark(MemoryStore):
    def mark(self, tables: Sequence[MarkedTable], writer: bytes, seconds: float) -> Any:
        drop_marks(self, keys_of(tables))
        return super().mark(tables, writer, seconds)


class DropsInClosing(MemoryStore):
    def mark(self, tables: Sequence[MarkedTable], writer: bytes, seconds: float) -> Any:
        drop_marks(self, keys_of([table for table in tables if table.closes]))
        return super().mark(tables, writer, seconds)


class DropsInClear(MemoryStore):
    def clear(self, tables: Sequence[MarkedTable], writer: bytes) -> Any:
        reply = super().clear(tables, writer)
        drop_marks(self, keys_of(tables))
        return reply


class DropsInInvalidate(MemoryStore):
    def invalidate(self, tables: Sequence[MarkedTable]) -> int:
        drop_marks(self, keys_of(tables))
        return super().invalidate(tables)


class DropsInLease(MemoryStore):
    def lease(self, tables: Sequence[TableTags], *rest: Any) -> Any:
        drop_marks(self, keys_of(tables))
        return super().lease(tables, *rest)


class DropsInLeaseMany(MemoryStore):
    def lease_many(self, requests: Sequence[LeaseRequest], ttl: float) -> Any:
        drop_marks(self, [key for one in requests for key in keys_of(one.tables)])
        return super().lease_many(requests, ttl)


class DropsInLeaseTags(MemoryStore):
    def lease_tags(self, keys: Any, tags: Sequence[str], *rest: Any) -> Any:
        drop_marks(self, [keys.generation, *tags])
        return super().lease_tags(keys, tags, *rest)


class DropsInFill(MemoryStore):
    def fill(self, entries: Sequence[EncodedEntry], loaders: Sequence[str] = ()) -> Any:
        drop_marks(self, [tag for one in entries for tag in one.tags])
        return super().fill(entries, loaders)


class ForgetsAnotherWriter(MemoryStore):
    """Clears the registry's writers, not its own only: new schemes are leased before another's commit."""

    def clear(self, tables: Sequence[MarkedTable], writer: bytes) -> Any:
        for table in tables:
            self._registry(table.keys).writers.clear()
        return super().clear(tables, writer)


def rules() -> Iterator[tuple[str, Callable[..., None], dict[str, Any]]]:
    """Yield each rule: its name, the function, the values of its parameters."""
    for name, rule in inspect.getmembers(StoreContract, inspect.isfunction):
        if name.startswith("test_"):
            marks = [mark for mark in getattr(rule, "pytestmark", []) if mark.name == "parametrize"]
            assert len(marks) < 2, name
            names, values = (marks[0].args[0], marks[0].args[1]) if marks else ("", [()])
            for value in values:
                yield name, rule, {names: value} if names else {}


def broken_rules(kind: type[MemoryStore]) -> set[str]:
    found = set()
    for name, rule, given in rules():
        clock = Clock()

        def advance(seconds: float, clock: Clock = clock) -> None:
            clock.now += seconds

        arguments: dict[str, Any] = {"store": kind(clock=clock), "pass_time": advance, **given}
        wanted = inspect.signature(rule).parameters
        try:
            rule(StoreContract(), **{each: arguments[each] for each in wanted if each != "self"})
        except AssertionError:
            found.add(name)
    return found


def test_the_contract_holds_for_the_store_that_the_broken_ones_are_made_of() -> None:
    assert broken_rules(MemoryStore) == set()


@pytest.mark.parametrize(
    "kind",
    [
        DropsInMark,
        DropsInClosing,
        DropsInClear,
        DropsInInvalidate,
        DropsInLease,
        DropsInLeaseMany,
        DropsInLeaseTags,
        DropsInFill,
        ForgetsAnotherWriter,
    ],
)
def test_a_store_that_drops_another_writers_mark_breaks_a_rule(kind: type[MemoryStore]) -> None:
    assert broken_rules(kind)
