"""The contract of a store: lease and fill many entries at once."""

import pytest

from cacheops.protocol.tags import VERSION_BYTES, WHOLE_TABLE
from cacheops.stores.base import EncodedEntry, LeaseRequest, Refusal, Store, TagVersions
from cacheops.testing.store_contract.parts import BRIEF, TTL, PassTime, Reader, new_table, new_writer, query, write


def readers_of(store: Store, *, entries: int) -> list[Reader]:
    """Return queries of one table, each with a tag of its own."""
    keys = new_table()
    return [Reader(store, query(keys, f"a={number}"), digest=str(number)) for number in range(entries)]


def lease(store: Store, readers: list[Reader]) -> list[tuple[bytes | Refusal, bytes | None]]:
    return store.lease_many([LeaseRequest(reader.entry, reader.tables) for reader in readers], TTL).result()


def lease_tags(store: Store, readers: list[Reader]) -> TagVersions | Refusal:
    (table,) = readers[0].tables
    tags = [reader.tables[0].key_list()[1] for reader in readers]
    return store.lease_tags(table.keys, tags, table.schemes, TTL).result()


def fill(store: Store, readers: list[Reader], ttl: float = TTL) -> None:
    fill_leased(store, readers, lease(store, readers), ttl)


def fill_leased(
    store: Store, readers: list[Reader], leased: list[tuple[bytes | Refusal, bytes | None]], ttl: float = TTL
) -> None:
    found = zip(readers, leased, strict=True)
    store.fill(
        [EncodedEntry(reader.entry, versions, ttl) for reader, (versions, _) in found if isinstance(versions, bytes)]
    ).result()


class ManyRules:
    """Lease and fill many entries at once."""

    @pytest.mark.parametrize("entries", [1, 3, 1200])
    def test_what_was_leased_and_filled_together_is_a_hit(self, store: Store, entries: int) -> None:
        readers = readers_of(store, entries=entries)
        fill(store, readers)
        assert all(reader.hits() for reader in readers)

    def test_nothing_leases_and_fills_nothing(self, store: Store) -> None:
        assert lease(store, []) == []
        store.fill([]).result()

    def test_a_lease_of_many_is_that_of_one(self, store: Store) -> None:
        first, second = readers_of(store, entries=2)
        both = Reader(store, *first.tables, query(new_table(), "b=1", "c=1"))
        found = [versions for versions, _ in lease(store, [first, second, both])]
        assert found == [reader.lease() for reader in (first, second, both)]
        assert isinstance(found[2], bytes)
        assert len(found[2]) == (2 + 3) * VERSION_BYTES

    def test_it_tells_what_is_stored(self, store: Store) -> None:
        readers = readers_of(store, entries=3)
        readers[1].fill()
        assert [payload is not None for _, payload in lease(store, readers)] == [False, True, False]

    def test_what_was_written_meanwhile_is_a_miss(self, store: Store) -> None:
        """R2."""
        readers = readers_of(store, entries=3)
        leased = lease(store, readers)
        keys, writer = readers[0].tables[0].keys, new_writer()
        store.mark([write(keys, "a=1")], writer, TTL).result()
        store.clear([write(keys, "a=1")], writer).result()
        fill_leased(store, readers, leased)
        assert [reader.hits() for reader in readers] == [True, False, True]

    def test_what_is_marked_is_refused_and_the_rest_is_not(self, store: Store) -> None:
        readers = readers_of(store, entries=3)
        lease(store, readers)
        store.mark([write(readers[0].tables[0].keys, "a=1")], new_writer(), TTL).result()
        found = [versions for versions, _ in lease(store, readers)]
        assert [versions is Refusal.PENDING for versions in found] == [False, True, False]

    def test_what_a_writer_closes_is_refused_and_the_rest_is_not(self, store: Store) -> None:
        """R12."""
        readers = readers_of(store, entries=3)
        readers[0].fill()
        readers[2].fill()
        store.mark([write(readers[0].tables[0].keys, "a=0", "a=1", closes=True)], new_writer(), TTL).result()
        found = [versions for versions, _ in lease(store, readers)]
        assert [versions is Refusal.PENDING for versions in found] == [True, True, False]
        tags = lease_tags(store, readers)
        assert isinstance(tags, TagVersions)
        assert [version == b"" for version in tags.versions] == [True, True, False]

    def test_a_new_scheme_is_refused_while_a_writer_is_pending(self, store: Store) -> None:
        """R5."""
        readers = readers_of(store, entries=1)
        keys = readers[0].tables[0].keys
        lease(store, readers)
        store.mark([write(keys, "a=9")], new_writer(), TTL).result()
        found = lease(store, [*readers, Reader(store, query(keys, "b=1"))])
        assert isinstance(found[0][0], bytes)
        assert found[1][0] is Refusal.PENDING

    def test_a_dead_writers_mark_ends(self, store: Store, pass_time: PassTime) -> None:
        readers = readers_of(store, entries=2)
        store.mark([write(readers[0].tables[0].keys, "a=0")], new_writer(), BRIEF).result()
        pass_time(2 * BRIEF)
        fill(store, readers)
        assert all(reader.hits() for reader in readers)

    def test_many_leases_find_a_full_table(self, store: Store) -> None:
        keys = new_table()
        readers = [Reader(store, query(keys, f"column{number}=1"), digest=str(number)) for number in range(100)]
        found = [versions for versions, _ in lease(store, readers)]
        assert found[-1] is Refusal.FULL
        assert isinstance(found[0], bytes)
        assert found.count(Refusal.FULL) == 100 - len(store.schemes(keys))
        ((versions, _),) = lease(store, [Reader(store, query(keys, WHOLE_TABLE))])
        assert isinstance(versions, bytes)

    def test_a_lost_registry_outdates_every_entry(self, store: Store) -> None:
        """R6."""
        readers = readers_of(store, entries=2)
        fill(store, readers)
        registry = readers[0].tables[0].keys.registry
        if store.delete([registry]) == 0:
            return  # this store's registries can't be lost
        lease(store, readers[:1])
        assert not any(reader.hits() for reader in readers)

    @pytest.mark.parametrize("entries", [1, 1200])
    def test_a_lease_of_tags_is_that_of_their_readers(self, store: Store, entries: int) -> None:
        readers = readers_of(store, entries=entries)
        readers[0].lease()
        found = lease_tags(store, readers)
        assert isinstance(found, TagVersions)
        assert [found.generation + version for version in found.versions] == [reader.lease() for reader in readers]
        assert not found.is_new(found.versions[0])
        again = lease_tags(store, readers)
        assert isinstance(again, TagVersions)
        assert again.versions == found.versions
        assert not any(map(again.is_new, again.versions))

    def test_a_tag_that_is_marked_has_no_version(self, store: Store) -> None:
        readers = readers_of(store, entries=3)
        lease(store, readers)
        store.mark([write(readers[0].tables[0].keys, "a=1")], new_writer(), TTL).result()
        found = lease_tags(store, readers)
        assert isinstance(found, TagVersions)
        assert [version == b"" for version in found.versions] == [False, True, False]

    def test_tags_of_a_whole_table_that_is_marked_are_refused(self, store: Store) -> None:
        readers = readers_of(store, entries=2)
        lease(store, readers)
        store.mark([write(readers[0].tables[0].keys, whole=True)], new_writer(), TTL).result()
        assert lease_tags(store, readers) is Refusal.PENDING

    def test_tags_of_a_new_scheme_are_refused_while_a_writer_is_pending(self, store: Store) -> None:
        """R5."""
        readers = readers_of(store, entries=2)
        store.mark([write(readers[0].tables[0].keys, "b=9")], new_writer(), TTL).result()
        assert lease_tags(store, readers) is Refusal.PENDING

    def test_entries_end(self, store: Store, pass_time: PassTime) -> None:
        readers = readers_of(store, entries=2)
        fill(store, readers, BRIEF)
        pass_time(2 * BRIEF)
        assert not any(reader.hits() for reader in readers)
