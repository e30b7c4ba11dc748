"""The contract of a store: mark, clear, invalidate."""

from cacheops.stores.base import Refusal, Store
from cacheops.testing.store_contract.parts import BRIEF, TTL, Pass, Reader, new_table, new_writer, query, write


class WritingContract:
    """Mark, clear, invalidate."""

    def test_a_marked_tag_is_no_hit_and_gives_no_lease(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], new_writer(), TTL).result()
        assert not reader.hits()
        assert reader.lease() is Refusal.PENDING

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
        first, second = new_table(), new_table()
        Reader(store, query(first, "a=1")).lease()
        Reader(store, query(second, "b=1", "c=1")).lease()
        schemes = store.mark([write(first), write(second)], new_writer(), TTL).result()
        assert schemes == [{"a"}, {"b", "c"}]

    def test_a_new_scheme_waits_for_the_writers_of_its_table(self, store: Store) -> None:
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
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        versions = reader.lease()
        assert isinstance(versions, bytes)
        store.mark([write(keys, "a=1")], writer, TTL).result()
        store.clear([write(keys, "a=1")], writer).result()
        store.fill([reader.encoded(versions)]).result()
        assert not reader.hits()

    def test_a_tag_waits_for_its_last_writer(self, store: Store) -> None:
        keys, first, second = new_table(), new_writer(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        store.mark([write(keys, "a=1")], first, TTL).result()
        store.mark([write(keys, "a=1")], second, TTL).result()
        store.clear([write(keys, "a=1")], first).result()
        assert reader.lease() is Refusal.PENDING
        store.clear([write(keys, "a=1")], second).result()
        assert isinstance(reader.lease(), bytes)

    def test_a_writer_that_closes_a_table_ends_its_tags_and_spares_the_others(self, store: Store) -> None:
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
        keys, marks, closes = new_table(), new_writer(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        store.mark([write(keys, "a=1")], marks, TTL).result()
        store.mark([write(keys, "a=1", closes=True)], closes, TTL).result()
        store.clear([write(keys, "a=1", closes=True)], closes).result()
        assert reader.lease() is Refusal.PENDING
        store.clear([write(keys, "a=1")], marks).result()
        assert isinstance(reader.lease(), bytes)

    def test_a_closed_table_opens_at_its_writers_deadline(self, store: Store, pass_time: Pass) -> None:
        keys, writer = new_table(), new_writer()
        reader = Reader(store, query(keys, "a=1"))
        store.mark([write(keys, "a=1", closes=True)], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        reader.fill()
        assert reader.hits()
        assert store.clear([write(keys, "a=1", closes=True)], writer).result() == 1
        assert not reader.hits()

    def test_marking_twice_is_marking_once(self, store: Store) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, TTL).result()
        store.mark([write(keys, "a=1", "b=1")], writer, TTL).result()
        assert store.clear([write(keys, "a=1", "b=1")], writer).result() == 0
        assert isinstance(Reader(store, query(keys, "a=1")).lease(), bytes)

    def test_a_dead_writers_marks_end(self, store: Store, pass_time: Pass) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.mark([write(keys, "a=1")], new_writer(), BRIEF).result()
        pass_time(2 * BRIEF)
        assert not reader.hits()
        assert isinstance(Reader(store, query(keys, "new=1")).lease(), bytes)
        reader.fill()
        assert reader.hits()

    def test_a_clear_that_comes_too_late_says_so(self, store: Store, pass_time: Pass) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1", "a=2")], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        assert store.clear([write(keys, "a=1", "a=2")], writer).result() == 2

    def test_what_was_filled_after_a_mark_ran_out_is_cleared_all_the_same(self, store: Store, pass_time: Pass) -> None:
        keys, writer = new_table(), new_writer()
        store.mark([write(keys, "a=1")], writer, BRIEF).result()
        pass_time(2 * BRIEF)
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        store.clear([write(keys, "a=1")], writer).result()
        assert not reader.hits()

    def test_a_clear_of_what_is_not_marked_harms_nobody(self, store: Store) -> None:
        keys, other = new_table(), new_writer()
        store.mark([write(keys, "a=1")], other, TTL).result()
        store.clear([write(keys, "a=1")], new_writer()).result()
        assert Reader(store, query(keys, "a=1")).lease() is Refusal.PENDING

    def test_invalidate_says_how_many_tags_were_there(self, store: Store) -> None:
        keys = new_table()
        reader = Reader(store, query(keys, "a=1"))
        reader.fill()
        assert store.invalidate([write(keys, "a=1", "a=2")]) == 1
        assert not reader.hits()

    def test_invalidate_leaves_what_is_pending(self, store: Store) -> None:
        keys = new_table()
        store.mark([write(keys, "a=1", whole=True)], new_writer(), TTL).result()
        store.invalidate([write(keys, "a=1", whole=True)])
        assert Reader(store, query(keys, "a=1")).lease() is Refusal.PENDING
