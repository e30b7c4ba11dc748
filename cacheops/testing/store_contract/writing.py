"""The contract of a store: mark, clear, invalidate."""

import pytest

from cacheops.protocol.tags import VERSION_BYTES
from cacheops.stores.base import Refusal, Store, marks_in
from cacheops.testing.store_contract.parts import BRIEF, TTL, PassTime, Reader, new_table, new_writer, query, write


class WritingRules:
    """Mark, clear, invalidate."""

    def test_a_marked_tag_is_no_hit_and_gives_no_lease(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], new_writer(), TTL).result()
        assert not reader.hits()
        assert reader.lease() is Refusal.PENDING

    def test_the_value_of_a_marked_tag_holds_its_marks(self, store: Store) -> None:
        keys, writers = new_table(), [new_writer(), new_writer()]
        tags = [keys.tag("a=1"), keys.tag("a=2")]
        for marks, writer in enumerate(writers, 1):
            store.mark([write(keys, "a=1")], writer, TTL).result()
            assert [marks_in(value) for value in store.read(tags)] == [marks, 0]
        for writer in writers:
            store.clear([write(keys, "a=1")], writer).result()
        assert store.read(tags) == [None, None]

    def test_a_mark_leaves_other_tags_alone(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=2"))
        reader.fill()
        writer = new_writer()
        store.mark([write(keys, "a=1")], writer, TTL).result()
        assert reader.hits()
        assert isinstance(Reader(store, query(keys, "a=3")).lease(), bytes)
        store.clear([write(keys, "a=1")], writer).result()
        assert reader.hits()

    def test_a_mark_of_the_whole_table_stops_every_reader(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=2"))
        reader.fill()
        store.mark([write(keys, whole=True)], new_writer(), TTL).result()
        assert not reader.hits()
        assert reader.lease() is Refusal.PENDING

    def test_a_mark_answers_with_the_schemes_of_each_table(self, store: Store) -> None:
        """R7."""
        first, second = new_table(), new_table()
        Reader(store, query(first, "a=1")).lease()
        Reader(store, query(second, "b=1", "c=1")).lease()
        schemes = store.mark([write(first), write(second)], new_writer(), TTL).result()
        assert schemes == [{"a"}, {"b", "c"}]

    def test_a_new_scheme_waits_for_the_writers_of_its_table(self, store: Store) -> None:
        """R5."""
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, TTL).result()
        reader = Reader(store, query(keys, "b=1"))
        assert reader.lease() is Refusal.PENDING
        assert store.schemes(keys) == frozenset()
        store.clear([write(keys, "a=1")], writer).result()
        assert isinstance(reader.lease(), bytes)

    def test_a_clear_makes_what_was_filled_before_a_miss(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], writer, TTL).result()
        assert store.clear([write(keys, "a=1")], writer).result() == 0
        assert not reader.hits()
        reader.fill()
        assert reader.hits()

    def test_a_fill_that_a_writer_overtook_is_no_hit(self, store: Store) -> None:
        """R2."""
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        versions = reader.lease()
        assert isinstance(versions, bytes)
        store.mark([write(keys, "a=1")], writer, TTL).result()
        store.clear([write(keys, "a=1")], writer).result()
        store.fill([reader.encoded(versions)]).result()
        assert not reader.hits()

    @pytest.mark.parametrize("entries", [1, 3])
    def test_a_fill_leaves_the_marks_of_its_tags(self, store: Store, entries: int) -> None:
        """R8."""
        keys, writer = new_table(), new_writer()
        readers = [Reader(store, query(keys, "a=1"), digest=str(number)) for number in range(entries)]
        leased = [(reader, reader.lease()) for reader in readers]
        store.mark([write(keys, "a=1")], writer, TTL).result()
        store.fill([reader.encoded(versions) for reader, versions in leased if isinstance(versions, bytes)]).result()
        assert readers[0].lease() is Refusal.PENDING
        assert store.clear([write(keys, "a=1")], writer).result() == 0

    @pytest.mark.parametrize("last", [0, 1, 2], ids=["the first", "the second", "the third"])
    def test_a_tag_waits_for_its_last_writer(self, store: Store, last: int) -> None:
        """R11."""
        keys, writers = new_table(), [new_writer() for _ in range(3)]
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        for writer in writers:
            store.mark([write(keys, "a=1")], writer, TTL).result()
        for place in sorted(range(3), key=lambda place: place == last):
            assert not reader.hits()
            assert reader.lease() is Refusal.PENDING
            assert store.clear([write(keys, "a=1")], writers[place]).result() == 0
        assert isinstance(reader.lease(), bytes)

    @pytest.mark.parametrize("last", [0, 1], ids=["the first", "the second"])
    def test_a_new_scheme_waits_for_the_last_writer_of_its_table(self, store: Store, last: int) -> None:
        """R5."""
        keys, writers = new_table(), [new_writer(), new_writer()]
        for number, writer in enumerate(writers):
            store.mark([write(keys, f"a={number}")], writer, TTL).result()
        store.clear([write(keys, f"a={1 - last}")], writers[1 - last]).result()
        reader = Reader(store, query(keys, "b=1"))
        assert reader.lease() is Refusal.PENDING
        store.clear([write(keys, f"a={last}")], writers[last]).result()
        assert isinstance(reader.lease(), bytes)

    def test_replies_may_be_awaited_in_any_order(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        lease = store.lease(reader.tables, reader.loader, TTL, 0.0)
        mark = store.mark([write(keys, "a=1")], writer, TTL)
        clear = store.clear([write(keys, "a=1")], writer)
        assert clear.result() == 0
        assert mark.result() == [{"a"}]
        leased = lease.result()
        assert isinstance(leased, bytes)
        assert len(leased) == 2 * VERSION_BYTES

    def test_a_clear_that_is_not_awaited_is_reported_with_a_later_use(self, store: Store, pass_time: PassTime) -> None:
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        outcomes: list[object] = []
        store.mark([write(keys, "a=1")], writer, TTL).result()
        store.clear([write(keys, "a=1")], writer).on_result(outcomes.append)
        assert isinstance(reader.lease(), bytes)
        store.mark([write(keys, "a=1")], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        store.clear([write(keys, "a=1")], writer).on_result(outcomes.append)
        assert isinstance(reader.lease(), bytes)
        assert outcomes == [0, 1]

    def test_a_writer_that_closes_a_table_ends_its_tags_and_spares_the_others(self, store: Store) -> None:
        """R12."""
        keys, writer = new_table(), new_writer()
        changed, other = Reader(store, query(keys, "a=1")), Reader(store, query(keys, "a=2"))
        changed.fill()
        other.fill()
        closing = write(keys, "a=1", "a=3", closes=True)
        assert store.mark([closing], writer, TTL).result() == [{"a"}]
        assert (changed.hits(), other.hits()) == (False, True)
        assert changed.lease() is Refusal.PENDING
        assert Reader(store, query(keys, "a=3")).lease() is Refusal.PENDING
        assert store.clear([closing], writer).result() == 0
        assert not changed.hits()
        assert isinstance(changed.lease(), bytes)

    def test_a_writer_that_closes_a_table_leaves_anothers_mark(self, store: Store) -> None:
        """R13."""
        keys, marks, closes = new_table(), new_writer(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], marks, TTL).result()
        store.mark([write(keys, "a=1", closes=True)], closes, TTL).result()
        store.clear([write(keys, "a=1", closes=True)], closes).result()
        assert reader.lease() is Refusal.PENDING
        assert store.clear([write(keys, "a=1")], marks).result() == 0
        assert isinstance(reader.lease(), bytes)

    def test_a_closed_table_opens_at_its_writers_deadline(self, store: Store, pass_time: PassTime) -> None:
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        store.mark([write(keys, "a=1", closes=True)], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        reader.fill()
        assert reader.hits()
        assert store.clear([write(keys, "a=1", closes=True)], writer).result() == 1
        assert not reader.hits()

    def test_a_clear_of_a_closed_table_that_comes_too_late_says_so(self, store: Store, pass_time: PassTime) -> None:
        writer, closing = new_writer(), write(new_table(), "a=1", closes=True)
        store.mark([closing], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        assert store.clear([closing], writer).result() == 1

    def test_a_late_clear_spares_anothers_mark_of_the_whole_table(self, store: Store, pass_time: PassTime) -> None:
        """R11."""
        keys, late, other = new_table(), new_writer(), new_writer()
        store.mark([write(keys, "a=1")], late, BRIEF).result()
        store.mark([write(keys, whole=True)], other, TTL).result()
        pass_time(2 * BRIEF)
        assert store.clear([write(keys, "a=1")], late).result() == 1
        assert Reader(store, query(keys, "a=2")).lease() is Refusal.PENDING
        assert store.clear([write(keys, whole=True)], other).result() == 0

    def test_marking_twice_is_marking_once(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, TTL).result()
        store.mark([write(keys, "a=1", "b=1")], writer, TTL).result()
        assert store.clear([write(keys, "a=1", "b=1")], writer).result() == 0
        assert isinstance(Reader(store, query(keys, "a=1")).lease(), bytes)

    def test_a_dead_writers_marks_end(self, store: Store, pass_time: PassTime) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], new_writer(), BRIEF).result()
        pass_time(2 * BRIEF)
        assert not reader.hits()
        assert isinstance(Reader(store, query(keys, "new=1")).lease(), bytes)
        reader.fill()
        assert reader.hits()

    def test_a_clear_that_comes_too_late_says_so(self, store: Store, pass_time: PassTime) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1", "a=2")], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        assert store.clear([write(keys, "a=1", "a=2")], writer).result() == 2

    def test_a_late_clear_outdates_what_was_filled_meanwhile(self, store: Store, pass_time: PassTime) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.clear([write(keys, "a=1")], writer).result()
        assert not reader.hits()

    def test_a_late_clear_outdates_entries_of_schemes_that_its_writer_does_not_know(
        self, store: Store, pass_time: PassTime
    ) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        reader = Reader(store, query(keys, "b=1"))
        reader.fill()
        assert store.clear([write(keys, "a=1")], writer).result() == 1
        assert not reader.hits()

    def test_a_mark_in_a_lost_registry_outdates_every_entry(self, store: Store) -> None:
        """R6: its writer is told no schemes, so it can't know which tags to mark."""
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        if store.delete([keys.registry]):  # a store in memory loses none
            assert store.mark([write(keys)], new_writer(), TTL).result() == [frozenset()]
            assert not reader.hits()

    def test_a_mark_in_a_lost_registry_spares_anothers_mark_of_the_whole_table(self, store: Store) -> None:
        """R11."""
        keys, other = new_table(), new_writer()
        store.mark([write(keys, whole=True)], other, TTL).result()
        store.delete([keys.registry])
        store.mark([write(keys)], new_writer(), TTL).result()
        assert store.clear([write(keys, whole=True)], other).result() == 0

    def test_marking_again_moves_the_deadline(self, store: Store, pass_time: PassTime) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, BRIEF).result()
        store.mark([write(keys, "a=1")], writer, TTL).result()
        pass_time(2 * BRIEF)
        assert Reader(store, query(keys, "b=1")).lease() is Refusal.PENDING
        assert store.clear([write(keys, "a=1")], writer).result() == 0

    def test_a_clear_of_what_is_not_marked_spares_others(self, store: Store) -> None:
        """R11."""
        keys, other = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], other, TTL).result()
        store.clear([write(keys, "a=1")], new_writer()).result()
        assert reader.lease() is Refusal.PENDING
        assert store.clear([write(keys, "a=1")], other).result() == 0

    def test_invalidate_says_how_many_tags_were_there(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        assert store.invalidate([write(keys, "a=1", "a=2")]) == 1
        assert not reader.hits()

    @pytest.mark.parametrize("whole", [False, True], ids=["tag", "generation"])
    def test_invalidate_spares_a_writers_mark(self, store: Store, whole: bool) -> None:
        """R11."""
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        marked = write(keys, whole=True) if whole else write(keys, "a=1")
        store.mark([marked], writer, TTL).result()
        assert store.invalidate([marked]) == 0
        assert reader.lease() is Refusal.PENDING
        assert store.clear([marked], writer).result() == 0
