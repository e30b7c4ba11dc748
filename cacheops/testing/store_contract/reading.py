"""The contract of a store: look up, lease, fill."""

import pytest

from cacheops.protocol.tags import VERSION_BYTES, WHOLE_TABLE
from cacheops.stores.base import Refusal, Store
from cacheops.testing.store_contract.parts import BRIEF, TTL, PassTime, Reader, new_table, new_writer, query, write


class ReadingRules:
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
        """R4."""
        keys = new_table()
        assert store.schemes(keys) == frozenset()
        Reader(store, query(keys, "a=1", "b=2")).lease()
        assert store.schemes(keys) == {"a", "b"}

    def test_a_table_has_room_for_a_number_of_schemes(self, store: Store) -> None:
        keys = new_table()
        leases = [Reader(store, query(keys, f"column{number}=1")).lease() for number in range(100)]
        assert leases[-1] is Refusal.FULL
        assert isinstance(Reader(store, query(keys, "column0=2")).lease(), bytes)

    def test_the_scheme_of_the_whole_table_takes_no_others_room(self, store: Store) -> None:
        read_whole, other = new_table(), new_table()
        Reader(store, query(read_whole, WHOLE_TABLE)).lease()
        for keys in (read_whole, other):
            for number in range(100):
                Reader(store, query(keys, f"column{number}=1")).lease()
        assert len(store.schemes(read_whole)) == len(store.schemes(other)) + 1

    def test_a_full_table_leases_to_queries_of_the_whole_table(self, store: Store) -> None:
        keys = new_table()
        for number in range(100):
            Reader(store, query(keys, f"column{number}=1")).lease()
        reader = Reader(store, query(keys, WHOLE_TABLE))
        reader.fill()
        assert reader.hits()

    def test_a_lease_prolongs_the_life_of_tags(self, store: Store, pass_time: PassTime) -> None:
        keys = new_table()
        Reader(store, query(keys, "a=1"), digest="short").fill(ttl=BRIEF)
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        Reader(store, query(keys, "a=1"), digest="short").fill(ttl=BRIEF)
        pass_time(2 * BRIEF)
        assert reader.hits()

    def test_one_loader_holds_the_lock_until_it_fills(self, store: Store) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        versions = reader.lease(hold=TTL)
        assert isinstance(versions, bytes)
        assert reader.lease(hold=TTL) is Refusal.BUSY
        store.fill([reader.encoded(versions)], [reader.loader]).on_result(lambda outcome: None)
        assert isinstance(reader.lease(hold=TTL), bytes)

    def test_a_loader_that_gives_up_lets_the_next_one_in(self, store: Store) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        reader.lease(hold=TTL)
        store.fill([], [reader.loader]).result()
        assert isinstance(reader.lease(hold=TTL), bytes)

    def test_a_dead_loaders_lock_ends(self, store: Store, pass_time: PassTime) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        reader.lease(hold=BRIEF)
        pass_time(2 * BRIEF)
        assert isinstance(reader.lease(hold=TTL), bytes)

    def test_locks_of_many_entries_are_taken_and_let_go_one_by_one(self, store: Store, pass_time: PassTime) -> None:
        one, two, three = (new_table().loader(name) for name in ("one", "two", "three"))
        assert store.lock([one, two], TTL) == [True, True]
        assert store.lock([two, three], BRIEF) == [False, True]
        store.fill([], [one]).result()
        assert store.lock([one, two], TTL) == [True, False]
        pass_time(2 * BRIEF)
        assert store.lock([three], TTL) == [True]

    def test_filling_many_lets_their_locks_go(self, store: Store) -> None:
        keys = new_table()
        readers = [Reader(store, query(keys, "a=1"), digest=name) for name in ("one", "two")]
        loaders = [reader.loader for reader in readers]
        store.lock(loaders, TTL)
        versions = [reader.lease() for reader in readers]
        outcomes: list[object] = []
        entries = [
            reader.encoded(leased)
            for reader, leased in zip(readers, versions, strict=True)
            if isinstance(leased, bytes)
        ]
        store.fill(entries, loaders).on_result(outcomes.append)
        assert all(reader.hits() for reader in readers)
        assert store.lock(loaders, TTL) == [True, True]
        assert outcomes == [0]

    @pytest.mark.parametrize("finish", [True, False], ids=["cleared", "marked"])
    def test_it_tells_how_many_a_writer_overtook_before_they_were_stored(self, store: Store, finish: bool) -> None:
        keys, joined, writer = new_table(), new_table(), new_writer()
        readers = [
            Reader(store, query(keys, "a=1"), query(joined, f"b={number}"), digest=str(number)) for number in range(3)
        ]
        versions = [reader.lease() for reader in readers]
        store.mark([write(joined, "b=1")], writer, TTL).result()
        if finish:
            store.clear([write(joined, "b=1")], writer).result()
        outcomes: list[object] = []
        leased = zip(readers, versions, strict=True)
        entries = [reader.encoded(one) for reader, one in leased if isinstance(one, bytes)]
        store.fill(entries, []).on_result(outcomes.append)
        store.fill(entries[1:2], []).on_result(outcomes.append)
        store.fill(entries[2:], []).on_result(outcomes.append)
        assert [reader.hits() for reader in readers] == [True, False, True]
        assert outcomes == [1, 1, 0]

    def test_an_entry_ends(self, store: Store, pass_time: PassTime) -> None:
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
        """R3."""
        keys = new_table()
        seen = set()
        for _ in range(50):
            seen.add(Reader(store, query(keys, "a=1")).lease())
            store.invalidate([write(keys, "a=1")])
        assert len(seen) == 50

    def test_a_lost_registry_renews_the_generation(self, store: Store) -> None:
        """R6."""
        keys = new_table()
        known = Reader(store, query(keys, "a=1"))
        known.fill()
        if store.delete([keys.registry]):  # a store in memory loses none
            Reader(store, query(keys, "b=1"), digest="other").lease()
            assert not known.hits()
