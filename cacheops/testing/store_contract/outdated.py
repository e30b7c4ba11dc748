"""The contract of a store: what marks have replaced."""

from cacheops.stores.base import Store, TableTags
from cacheops.testing.store_contract.parts import BRIEF, TTL, PassTime, Reader, new_table, new_writer, query, write


class OutdatedRules:
    """What marks have replaced, for readers that take outdated entries."""

    def leased(self, store: Store, *tables: TableTags) -> bytes:
        versions = Reader(store, *tables).lease()
        assert isinstance(versions, bytes)
        return versions

    def test_a_valid_entry_is_not_outdated(self, store: Store) -> None:
        table = query(new_table(), "a=1")
        assert store.outdated_for([table], self.leased(store, table)) == 0

    def test_a_mark_is_where_it_begins(self, store: Store, pass_time: PassTime) -> None:
        table, other = query(new_table(), "a=1"), query(new_table(), "b=2")
        versions = self.leased(store, table, other)
        store.note_outdated(table.keys, TTL)
        writer = new_writer()
        store.mark([write(table.keys, "a=1")], writer, TTL).result()
        pass_time(BRIEF)
        age = store.outdated_for([table, other], versions)
        assert age is not None
        assert age > 0.9 * BRIEF
        store.clear([write(table.keys, "a=1")], writer).result()
        assert (store.outdated_for([table, other], versions) or 0) >= age

    def test_the_first_mark_counts(self, store: Store, pass_time: PassTime) -> None:
        """Also where one version stands in two tags, as a lease gives it."""
        table = query(new_table(), "a=1", "b=2")
        versions = self.leased(store, table)
        store.note_outdated(table.keys, TTL)
        for tag in ("a=1", "b=2"):
            store.mark([write(table.keys, tag)], new_writer(), TTL).result()
            pass_time(BRIEF)
        age = store.outdated_for([table], versions)
        assert age is not None
        assert age > 1.8 * BRIEF

    def test_a_version_that_was_not_noted_is_not_known(self, store: Store) -> None:
        table = query(new_table(), "a=1")
        versions = self.leased(store, table)
        store.mark([write(table.keys, "a=1")], new_writer(), TTL).result()
        assert store.outdated_for([table], versions) is None

    def test_it_is_forgotten_after_its_time(self, store: Store, pass_time: PassTime) -> None:
        table = query(new_table(), "a=1")
        versions = self.leased(store, table)
        store.note_outdated(table.keys, BRIEF)
        store.mark([write(table.keys, "a=1")], new_writer(), TTL).result()
        pass_time(2 * BRIEF)
        store.mark([write(table.keys, "a=1")], new_writer(), TTL).result()
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
        reader = Reader(store, table)
        reader.fill()
        if store.delete([table.keys.registry]):  # a store in memory loses none
            store.note_outdated(table.keys, TTL)
            store.mark([write(table.keys)], new_writer(), TTL).result()
            assert not reader.hits()

    def test_who_asks_for_less_time_shortens_no_other_s(self, store: Store, pass_time: PassTime) -> None:
        table = query(new_table(), "a=1", "b=2")
        versions = self.leased(store, table)
        store.note_outdated(table.keys, TTL)
        store.note_outdated(table.keys, BRIEF)
        store.mark([write(table.keys, "a=1")], new_writer(), TTL).result()
        pass_time(2 * BRIEF)
        store.mark([write(table.keys, "b=2")], new_writer(), TTL).result()
        age = store.outdated_for([table], versions)
        assert age is not None
        assert age > 1.8 * BRIEF
