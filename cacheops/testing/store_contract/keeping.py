"""The contract of a store: what looks after it."""

from typing import Any

from cacheops.stores.base import Store
from cacheops.testing.store_contract.parts import Reader, new_table, query


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
        size, nothing = store.inspection.sizes([reader.entry, f"{reader.entry}-not"])
        assert size > 0
        assert nothing == 0
        assert store.delete([reader.entry, f"{reader.entry}-not"]) == 1

    def test_every_node_tells_of_itself(self, store: Store) -> None:
        figures: list[dict[str, Any]] = store.inspection.nodes()
        assert figures
        assert all("used_memory" in node for node in figures)
