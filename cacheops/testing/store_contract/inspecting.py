"""The contract of a store: list, delete and measure keys; figures of nodes; counts by name."""

from typing import Any

from cacheops.stores.base import EncodedEntry, Store
from cacheops.testing.store_contract.parts import BRIEF, TTL, PassTime, Reader, new_table, query


class InspectionRules:
    """List, delete and measure keys; figures of nodes; counts by name."""

    def test_keys_are_found_by_what_they_begin_with(self, store: Store) -> None:
        keys, other = new_table(), new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        Reader(store, query(other, "a=1")).fill()
        found: set[str] = {key for batch in store.scan(keys.base) for key in batch}
        assert {reader.entry, *reader.tables[0].key_list()} <= found
        assert all(key.startswith(keys.base) for key in found)

    def test_pages_of_keys_come_to_an_end_and_leave_none_out(self, store: Store) -> None:
        keys = new_table()
        entries = {f"{keys.entry(str(number))}" for number in range(7)}
        store.fill([EncodedEntry(entry, b"value", TTL) for entry in entries]).result()
        page, cursor = store.scan_page(keys.entry(""), "", 3)
        found = set(page)
        while cursor:
            page, cursor = store.scan_page(keys.entry(""), cursor, 3)
            found |= set(page)
        assert found == entries

    def test_sizes_and_deletions_are_those_of_the_keys_named(self, store: Store) -> None:
        reader = Reader(store, query(new_table(), "a=1"))
        reader.fill()
        size, nothing = store.inspection.sizes([reader.entry, f"{reader.entry}-not"])
        assert size > 0
        assert nothing == 0
        assert store.delete([reader.entry, f"{reader.entry}-not"]) == 1

    def test_every_node_has_figures(self, store: Store) -> None:
        figures: list[dict[str, Any]] = store.inspection.nodes()
        assert figures
        assert all("used_memory" in node for node in figures)

    def test_counts_add_up_the_highest_first(self, store: Store) -> None:
        key = f"{new_table().base}u"
        store.inspection.add_counts(key, {"rare": 1, "often": 5}, 10, TTL).result()
        store.inspection.add_counts(key, {"often": 2, "new": 3}, 10, TTL).result()
        assert store.inspection.top_counts([key, f"{key}-none"], 2) == [[("often", 7.0), ("new", 3.0)], []]

    def test_only_the_highest_are_kept(self, store: Store) -> None:
        key = f"{new_table().base}u"
        store.inspection.add_counts(key, {str(number): number + 1 for number in range(20)}, 5, TTL).result()
        assert [name for name, _ in store.inspection.top_counts([key], 100)[0]] == ["19", "18", "17", "16", "15"]

    def test_counts_end(self, store: Store, pass_time: PassTime) -> None:
        key = f"{new_table().base}u"
        store.inspection.add_counts(key, {"one": 1}, 5, BRIEF).result()
        pass_time(2 * BRIEF)
        assert store.inspection.top_counts([key], 5) == [[]]
