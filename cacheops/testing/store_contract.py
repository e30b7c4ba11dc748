"""The contract of a store, as tests: what the protocol (docs/design/invalidation.md) asks of every one.

A store's author subclasses StoreContract in a test module for pytest, under a name that begins with Test, and gives it
two fixtures:

    store      a cacheops.stores.base.Store; what others have put into it does not matter
    pass_time  a call that lets so many seconds pass for the store: its clock's, or a sleep
"""

import os
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cacheops.keys import TableKeys
from cacheops.stores.base import MarkedTable, Refusal, Sealed, Store, TableTags
from cacheops.tags import VERSION_BYTES

Pass = Callable[[float], None]
TTL = 30.0  # seconds; longer than any of these tests
BRIEF = 0.05  # seconds; what these tests wait for to end


class Reader:
    """One query, of one or several tables: what it leases, and whether its entry is a hit."""

    def __init__(self, store: Store, *tables: TableTags, digest: str = "entry") -> None:
        self.store, self.tables = store, tables
        self.entry, self.loader = tables[0].keys.entry(digest), tables[0].keys.loader(digest)

    def lease(self, hold: float = 0.0, ttl: float = TTL) -> bytes | Refusal:
        return self.store.lease(self.tables, self.loader, ttl, hold)

    def fill(self, ttl: float = TTL) -> None:
        versions = self.lease()
        assert isinstance(versions, bytes), versions
        self.store.fill_many([self.sealed(versions, ttl)])

    def sealed(self, versions: bytes, ttl: float = TTL) -> Sealed:
        """Return an entry whose payload is the versions that it was leased under."""
        return Sealed(self.entry, versions, ttl, [key for table in self.tables for key in table.key_list()], versions)

    def values(self) -> list[bytes | None]:
        return self.store.read([self.entry, *[key for table in self.tables for key in table.key_list()]])

    def hits(self) -> bool:
        entry, *tags = self.values()
        return entry is not None and None not in tags and entry == b"".join(tag for tag in tags if tag)


def new_table() -> TableKeys:
    return TableKeys.of("contract", "default", f"table_{uuid.uuid4().hex[:12]}")


def query(keys: TableKeys, *tags: str) -> TableTags:
    """Return the dependency on tags such as "a=1", whose schemes are their columns."""
    return TableTags(keys, tags, tuple(sorted({tag.partition("=")[0] for tag in tags})))


def write(keys: TableKeys, *tags: str, whole: bool = False, closes: bool = False) -> MarkedTable:
    return MarkedTable(keys, frozenset(tags), whole, closes)


def new_writer() -> bytes:
    return os.urandom(VERSION_BYTES)


class OutdatedContract:
    """What marks have replaced, for readers that take outdated entries."""

    def leased(self, store: Store, *tables: TableTags) -> bytes:
        versions = Reader(store, *tables).lease()
        assert isinstance(versions, bytes)
        return versions

    def test_a_valid_entry_is_not_outdated(self, store: Store) -> None:
        table = query(new_table(), "a=1")
        assert store.outdated_for([table], self.leased(store, table)) == 0

    def test_a_mark_is_where_it_begins(self, store: Store, pass_time: Pass) -> None:
        table, other = query(new_table(), "a=1"), query(new_table(), "b=2")
        versions = self.leased(store, table, other)
        store.note_outdated(table.keys, TTL)
        writer = new_writer()
        store.mark([write(table.keys, "a=1")], writer, TTL)
        pass_time(BRIEF)
        age = store.outdated_for([table, other], versions)
        assert age is not None
        assert age > 0.9 * BRIEF
        store.clear([write(table.keys, "a=1")], writer)
        assert (store.outdated_for([table, other], versions) or 0) >= age

    def test_the_first_mark_counts(self, store: Store, pass_time: Pass) -> None:
        """Also where one version stands in two tags, as a lease gives it."""
        table = query(new_table(), "a=1", "b=2")
        versions = self.leased(store, table)
        store.note_outdated(table.keys, TTL)
        for tag in ("a=1", "b=2"):
            store.mark([write(table.keys, tag)], new_writer(), TTL)
            pass_time(BRIEF)
        age = store.outdated_for([table], versions)
        assert age is not None
        assert age > 1.8 * BRIEF

    def test_what_nobody_noted_is_not_known(self, store: Store) -> None:
        table = query(new_table(), "a=1")
        versions = self.leased(store, table)
        store.mark([write(table.keys, "a=1")], new_writer(), TTL)
        assert store.outdated_for([table], versions) is None

    def test_it_is_forgotten_after_its_time(self, store: Store, pass_time: Pass) -> None:
        table = query(new_table(), "a=1")
        versions = self.leased(store, table)
        store.note_outdated(table.keys, BRIEF)
        store.mark([write(table.keys, "a=1")], new_writer(), TTL)
        pass_time(2 * BRIEF)
        store.mark([write(table.keys, "a=1")], new_writer(), TTL)
        age = store.outdated_for([table], versions)
        assert age is None or age > 0.9 * BRIEF

    def test_what_is_invalidated_by_hand_is_not_known(self, store: Store) -> None:
        table = query(new_table(), "a=1")
        versions = self.leased(store, table)
        store.note_outdated(table.keys, TTL)
        store.invalidate([write(table.keys, "a=1")])
        assert store.outdated_for([table], versions) is None

    def test_a_table_without_a_registry_stays_so(self, store: Store) -> None:
        """Its absence says that writers were missed."""
        table = query(new_table(), "a=1")
        versions = self.leased(store, table)
        unknown = new_table()
        store.note_outdated(unknown, TTL)
        assert store.schemes(unknown) == frozenset()
        assert store.outdated_for([table], versions) == 0


class ReadingContract:
    """Look up, lease, fill."""

    def test_what_was_filled_is_a_hit(self, store: Store) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        assert reader.values() == [None, None, None]
        reader.fill()
        assert reader.hits()

    def test_a_lease_names_a_version_for_the_generation_and_each_tag(self, store: Store) -> None:
        tables = [query(new_table(), "a=1", "b=2"), query(new_table(), "a=1")]
        versions = Reader(store, *tables).lease()
        assert isinstance(versions, bytes)
        assert len(versions) == (3 + 2) * VERSION_BYTES

    def test_leases_of_one_tag_agree(self, store: Store) -> None:
        keys = new_table()
        assert Reader(store, query(keys, "a=1")).lease() == Reader(store, query(keys, "a=1"), digest="other").lease()

    def test_a_query_of_several_tables_needs_all_their_tags(self, store: Store) -> None:
        first, second = new_table(), new_table()
        reader = Reader(store, query(first, "a=1"), query(second, ""))
        reader.fill()
        assert reader.hits()
        store.invalidate([write(second, "")])
        assert not reader.hits()

    def test_the_schemes_of_a_lease_are_registered(self, store: Store) -> None:
        keys = new_table()
        assert store.schemes(keys) == frozenset()
        Reader(store, query(keys, "a=1", "b=2")).lease()
        assert store.schemes(keys) == {"a", "b"}

    def test_a_table_has_room_for_a_number_of_schemes(self, store: Store) -> None:
        keys = new_table()
        leases = [Reader(store, query(keys, f"column{number}=1")).lease() for number in range(100)]
        assert leases[-1] is Refusal.FULL
        assert isinstance(Reader(store, query(keys, "column0=2")).lease(), bytes)

    def test_one_loader_holds_the_lock_until_it_fills(self, store: Store) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        versions = reader.lease(hold=TTL)
        assert isinstance(versions, bytes)
        assert reader.lease(hold=TTL) is Refusal.BUSY
        store.fill_soon([reader.sealed(versions)], [reader.loader], lambda told: None)
        assert isinstance(reader.lease(hold=TTL), bytes)

    def test_a_loader_that_gives_up_lets_the_next_one_in(self, store: Store) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        reader.lease(hold=TTL)
        store.release(reader.loader)
        assert isinstance(reader.lease(hold=TTL), bytes)

    def test_a_dead_loaders_lock_ends(self, store: Store, pass_time: Pass) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        reader.lease(hold=BRIEF)
        pass_time(2 * BRIEF)
        assert isinstance(reader.lease(hold=TTL), bytes)

    def test_locks_of_many_entries_are_taken_and_let_go_one_by_one(self, store: Store, pass_time: Pass) -> None:
        one, two, three = (new_table().loader(name) for name in ("one", "two", "three"))
        assert store.lock_many([one, two], TTL) == [True, True]
        assert store.lock_many([two, three], BRIEF) == [False, True]
        store.release_many([one])
        assert store.lock_many([one, two], TTL) == [True, False]
        pass_time(2 * BRIEF)
        assert store.lock_many([three], TTL) == [True]

    def test_filling_many_lets_their_locks_go(self, store: Store) -> None:
        keys = new_table()
        readers = [Reader(store, query(keys, "a=1"), digest=name) for name in ("one", "two")]
        loaders = [reader.loader for reader in readers]
        store.lock_many(loaders, TTL)
        versions = [reader.lease() for reader in readers]
        told: list[object] = []
        sealed = [
            reader.sealed(leased) for reader, leased in zip(readers, versions, strict=True) if isinstance(leased, bytes)
        ]
        store.fill_soon(sealed, loaders, told.append)
        assert all(reader.hits() for reader in readers)
        assert store.lock_many(loaders, TTL) == [True, True]
        assert told == [0]

    @pytest.mark.parametrize("finish", [True, False], ids=["cleared", "marked"])
    def test_it_tells_how_many_a_writer_overtook_before_they_were_stored(self, store: Store, finish: bool) -> None:
        keys, joined, writer = new_table(), new_table(), new_writer()
        readers = [
            Reader(store, query(keys, "a=1"), query(joined, f"b={number}"), digest=str(number)) for number in range(3)
        ]
        versions = [reader.lease() for reader in readers]
        store.mark([write(joined, "b=1")], writer, TTL)
        if finish:
            store.clear([write(joined, "b=1")], writer)
        told: list[object] = []
        sealed = [reader.sealed(leased) for reader, leased in zip(readers, versions, strict=True)]  # type: ignore[arg-type]
        store.fill_soon(sealed, [], told.append)
        store.fill_soon(sealed[1:2], [], told.append)
        store.fill_soon(sealed[2:], [], told.append)
        assert [reader.hits() for reader in readers] == [True, False, True]
        assert told == [1, 1, 0]

    def test_an_entry_ends(self, store: Store, pass_time: Pass) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        reader.fill(ttl=BRIEF)
        pass_time(2 * BRIEF)
        assert not reader.hits()

    def test_whatever_is_evicted_is_a_miss(self, store: Store) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        for key in (reader.entry, *reader.tables[0].key_list()):
            reader.fill()
            assert reader.hits()
            assert store.delete([key]) == 1
            assert not reader.hits()

    def test_versions_are_never_used_again(self, store: Store) -> None:
        keys = new_table()
        seen = set()
        for _ in range(50):
            seen.add(Reader(store, query(keys, "a=1")).lease())
            store.invalidate([write(keys, "a=1")])
        assert len(seen) == 50

    def test_a_lost_registry_renews_the_generation(self, store: Store) -> None:
        keys = new_table()
        known = Reader(store, query(keys, "a=1"))
        known.fill()
        if store.delete([keys.registry]):  # a store in memory loses none
            Reader(store, query(keys, "b=1"), digest="other").lease()
            assert not known.hits()


class WritingContract:
    """Mark, clear, invalidate."""

    def test_a_marked_tag_is_no_hit_and_gives_no_lease(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], new_writer(), TTL)
        assert not reader.hits()
        assert reader.lease() is Refusal.PENDING

    def test_a_mark_leaves_other_tags_alone(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=2"))
        reader.fill()
        writer = new_writer()
        store.mark([write(keys, "a=1")], writer, TTL)
        assert reader.hits()
        assert isinstance(Reader(store, query(keys, "a=3")).lease(), bytes)
        store.clear([write(keys, "a=1")], writer)
        assert reader.hits()

    def test_a_mark_of_the_whole_table_stops_every_reader(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=2"))
        reader.fill()
        store.mark([write(keys, whole=True)], new_writer(), TTL)
        assert not reader.hits()
        assert reader.lease() is Refusal.PENDING

    def test_a_mark_answers_with_the_schemes_of_each_table(self, store: Store) -> None:
        first, second = new_table(), new_table()
        Reader(store, query(first, "a=1")).lease()
        Reader(store, query(second, "b=1", "c=1")).lease()
        schemes = store.mark([write(first), write(second)], new_writer(), TTL)
        assert schemes == [{"a"}, {"b", "c"}]

    def test_a_new_scheme_waits_for_the_writers_of_its_table(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, TTL)
        reader = Reader(store, query(keys, "b=1"))
        assert reader.lease() is Refusal.PENDING
        assert store.schemes(keys) == frozenset()
        store.clear([write(keys, "a=1")], writer)
        assert isinstance(reader.lease(), bytes)

    def test_a_clear_makes_what_was_filled_before_a_miss(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], writer, TTL)
        assert store.clear([write(keys, "a=1")], writer) == 0
        assert not reader.hits()
        reader.fill()
        assert reader.hits()

    def test_a_fill_that_a_writer_overtook_is_no_hit(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        versions = reader.lease()
        assert isinstance(versions, bytes)
        store.mark([write(keys, "a=1")], writer, TTL)
        store.clear([write(keys, "a=1")], writer)
        store.fill_many([reader.sealed(versions)])
        assert not reader.hits()

    def test_a_tag_waits_for_its_last_writer(self, store: Store) -> None:
        keys, first, second = new_table(), new_writer(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        store.mark([write(keys, "a=1")], first, TTL)
        store.mark([write(keys, "a=1")], second, TTL)
        store.clear([write(keys, "a=1")], first)
        assert reader.lease() is Refusal.PENDING
        store.clear([write(keys, "a=1")], second)
        assert isinstance(reader.lease(), bytes)

    def test_a_writer_that_closes_a_table_ends_its_tags_and_spares_the_others(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        changed, other = Reader(store, query(keys, "a=1")), Reader(store, query(keys, "a=2"))
        changed.fill()
        other.fill()
        closing = write(keys, "a=1", "a=3", closes=True)
        assert store.mark([closing], writer, TTL) == [{"a"}]
        assert (changed.hits(), other.hits()) == (False, True)
        assert changed.lease() is Refusal.PENDING
        assert Reader(store, query(keys, "a=3")).lease() is Refusal.PENDING
        assert store.clear([closing], writer) == 0
        assert not changed.hits()
        assert isinstance(changed.lease(), bytes)

    def test_a_writer_that_closes_a_table_leaves_anothers_mark(self, store: Store) -> None:
        keys, marks, closes = new_table(), new_writer(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        store.mark([write(keys, "a=1")], marks, TTL)
        store.mark([write(keys, "a=1", closes=True)], closes, TTL)
        store.clear([write(keys, "a=1", closes=True)], closes)
        assert reader.lease() is Refusal.PENDING
        store.clear([write(keys, "a=1")], marks)
        assert isinstance(reader.lease(), bytes)

    def test_a_closed_table_opens_at_its_writers_deadline(self, store: Store, pass_time: Pass) -> None:
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        store.mark([write(keys, "a=1", closes=True)], writer, BRIEF)
        pass_time(2 * BRIEF)
        reader.fill()
        assert reader.hits()
        assert store.clear([write(keys, "a=1", closes=True)], writer) == 1
        assert not reader.hits()

    def test_marking_twice_is_marking_once(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, TTL)
        store.mark([write(keys, "a=1", "b=1")], writer, TTL)
        assert store.clear([write(keys, "a=1", "b=1")], writer) == 0
        assert isinstance(Reader(store, query(keys, "a=1")).lease(), bytes)

    def test_a_dead_writers_marks_end(self, store: Store, pass_time: Pass) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], new_writer(), BRIEF)
        pass_time(2 * BRIEF)
        assert not reader.hits()
        assert isinstance(Reader(store, query(keys, "new=1")).lease(), bytes)
        reader.fill()
        assert reader.hits()

    def test_a_clear_that_comes_too_late_says_so(self, store: Store, pass_time: Pass) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1", "a=2")], writer, BRIEF)
        pass_time(2 * BRIEF)
        assert store.clear([write(keys, "a=1", "a=2")], writer) == 2

    def test_what_was_filled_after_a_mark_ran_out_is_cleared_all_the_same(self, store: Store, pass_time: Pass) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, BRIEF)
        pass_time(2 * BRIEF)
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.clear([write(keys, "a=1")], writer)
        assert not reader.hits()

    def test_a_clear_of_what_is_not_marked_harms_nobody(self, store: Store) -> None:
        keys, other = new_table(), new_writer()
        store.mark([write(keys, "a=1")], other, TTL)
        store.clear([write(keys, "a=1")], new_writer())
        assert Reader(store, query(keys, "a=1")).lease() is Refusal.PENDING

    def test_invalidate_says_how_many_tags_were_there(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        assert store.invalidate([write(keys, "a=1", "a=2")]) == 1
        assert not reader.hits()

    def test_invalidate_leaves_what_is_pending(self, store: Store) -> None:
        keys = new_table()
        store.mark([write(keys, "a=1", whole=True)], new_writer(), TTL)
        store.invalidate([write(keys, "a=1", whole=True)])
        assert Reader(store, query(keys, "a=1")).lease() is Refusal.PENDING


class KeepingContract:
    """What looks after a store: list, measure, delete."""

    def test_keys_are_found_by_what_they_begin_with(self, store: Store) -> None:
        keys, other = new_table(), new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        Reader(store, query(other, "a=1")).fill()
        found: set[str] = {key for batch in store.scan(keys.base) for key in batch}
        assert {reader.entry, *reader.tables[0].key_list()} <= found
        assert all(key.startswith(keys.base) for key in found)

    def test_sizes_and_deletions_are_those_of_the_keys_named(self, store: Store) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        reader.fill()
        size, nothing = store.sizes([reader.entry, f"{reader.entry}-not"])
        assert size > 0
        assert nothing == 0
        assert store.delete([reader.entry, f"{reader.entry}-not"]) == 1

    def test_every_node_tells_of_itself(self, store: Store) -> None:
        figures: list[dict[str, Any]] = store.info()
        assert figures
        assert all("used_memory" in node for node in figures)


class StoreContract(ReadingContract, WritingContract, KeepingContract, OutdatedContract):
    """All of it."""
