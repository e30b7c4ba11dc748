"""What only servers have: slots, times to live, round trips, replicas."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from cacheops.exceptions import Unconfirmed
from cacheops.protocol.keys import TableKeys
from cacheops.regions import store_for
from cacheops.stores.base import LeaseRequest, Refusal
from cacheops.stores.redis import RedisStore
from cacheops.stores.scripts import FOLLOW
from cacheops.testing.store_contract import BRIEF, TTL, Reader, new_table, new_writer, query, write

REGIONS = ["us-west-2", "us-east-1"]


class Trips:
    """Counts what is sent to servers: one packet and its answers are one round trip. Stands before their sockets."""

    def __init__(self, store: RedisStore) -> None:
        self.count = 0
        for node in store.servers.primaries():
            line = store._transport.connection_to(node)
            line._socket = Counted(line._socket, self)


class Counted:
    def __init__(self, socket: Any, trips: Trips) -> None:
        self._socket, self._trips = socket, trips

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def sendall(self, data: bytes) -> None:
        self._trips.count += 1
        self._socket.sendall(data)


@pytest.fixture(params=REGIONS)
def servers_store(request: Any) -> Iterator[RedisStore]:
    store = store_for(request.param)
    assert isinstance(store, RedisStore)
    yield store
    store.close()


def test_a_look_up_of_one_table_is_one_round_trip(servers_store: RedisStore) -> None:
    reader = Reader(servers_store, query(new_table(), "a=1", "b=2", "c=3"))
    reader.fill()
    trips = Trips(servers_store)
    assert reader.hits()
    assert trips.count == 1


@pytest.mark.parametrize("entries", [1, 300])
def test_an_invalidation_costs_the_same_however_many_entries_depend_on_it(
    entries: int, servers_store: RedisStore
) -> None:
    keys, writer = new_table(), new_writer()
    readers = [Reader(servers_store, query(keys, "a=1"), digest=str(number)) for number in range(entries)]
    for reader in readers:
        reader.fill()
    trips = Trips(servers_store)
    servers_store.mark([write(keys, "a=1")], writer, TTL).result()
    servers_store.clear([write(keys, "a=1")], writer).result()
    assert trips.count == 2
    assert not any(reader.hits() for reader in readers)


def test_tables_lie_in_different_slots_and_one_tables_keys_in_one() -> None:
    store = store_for("us-east-1")
    assert isinstance(store, RedisStore)
    tables = [TableKeys.of("contract", "default", f"table_{number}") for number in range(40)]
    assert len({store.servers.node_of(keys.registry) for keys in tables}) == 2
    for keys in tables:
        names = [keys.registry, keys.generation, keys.tag("a=1"), keys.entry("x"), keys.loader("x")]
        assert len({store.servers.node_of(name) for name in names}) == 1
    store.close()


def lives(store: RedisStore, key: str) -> int:
    """Return the milliseconds that a key lives, -1 for ever, -2 where there is none."""
    return store._transport.run_many([("PTTL", key)])[0]


def test_what_a_writer_counts_on_lives_for_ever_and_all_else_ends(servers_store: RedisStore) -> None:
    keys = new_table()
    reader = Reader(servers_store, query(keys, "a=1", "a=2"))
    reader.fill()
    reader.lease(hold=TTL)
    servers_store.note_outdated(keys, TTL)
    servers_store.mark([write(keys, "a=1")], new_writer(), TTL).result()
    assert lives(servers_store, keys.registry) == -1
    assert lives(servers_store, keys.tag("a=1")) == -1
    for key in (reader.entry, reader.loader, keys.generation, keys.tag("a=2"), keys.outdated):
        assert 0 < lives(servers_store, key) <= 1000 * (TTL + 60)
    servers_store.delete([keys.registry, keys.tag("a=1")])


def test_the_log_of_replaced_versions_is_trimmed(servers_store: RedisStore) -> None:
    keys = new_table()
    reader = Reader(servers_store, query(keys, "a=1"))
    reader.fill()
    servers_store.note_outdated(keys, TTL)
    before = int(1000 * (time.time() - 10 * TTL))
    servers_store._transport.run_many([("ZADD", keys.outdated, before, b"replaced")])
    servers_store.mark([write(keys, "a=1")], new_writer(), TTL).result()
    found = servers_store._transport.run_many([("ZRANGE", keys.outdated, 0, -1)])[0]
    assert len(found) == 1
    assert found != [b"replaced"]
    assert servers_store._transport.run_many([("HGET", keys.registry, "o")]) == [b"%d" % (1000 * TTL)]
    servers_store.delete([keys.registry, keys.tag("a=1")])


@pytest.mark.parametrize("form", ["lease", "lease_many", "lease_tags"])
def test_a_lease_prolongs_the_life_of_tags_and_shortens_none(form: str, servers_store: RedisStore) -> None:
    keys = new_table()
    (table,) = Reader(servers_store, query(keys, "a=1")).tables
    tags = [keys.generation, keys.tag("a=1")]

    def lease(ttl: float) -> list[int]:
        """Lease, and return the milliseconds that the tags live."""
        if form == "lease":
            servers_store.lease([table], "", ttl, 0.0).result()
        elif form == "lease_many":
            servers_store.lease_many([LeaseRequest(keys.entry("x"), (table,))], ttl).result()
        else:
            servers_store.lease_tags(keys, tags[1:], table.schemes, ttl).result()
        return [lives(servers_store, tag) for tag in tags]

    assert max(lease(TTL)) <= 1000 * (TTL + 60)
    assert min(lease(10 * TTL)) > 1000 * 9 * TTL
    assert min(lease(TTL)) > 1000 * 9 * TTL
    assert max(lease(10 * TTL + 5)) <= 1000 * (10 * TTL + 60), "a few seconds more are not worth a write"


def test_a_mark_waits_for_the_replicas_that_it_was_told_to_wait_for(servers_store: RedisStore) -> None:
    patient = RedisStore(servers_store.name, servers_store.servers, wait_replicas=1, wait_seconds=5.0)
    keys, writer = new_table(), new_writer()
    patient.mark([write(keys, "a=1")], writer, TTL).result()
    assert patient.replicated()
    patient.clear([write(keys, "a=1")], writer).result()
    impossible = RedisStore(servers_store.name, servers_store.servers, wait_replicas=9, wait_seconds=0.01)
    with pytest.raises(Unconfirmed, match="1 of 9 replicas"):
        impossible.mark([write(keys, "a=1")], writer, TTL).result()
    impossible.clear([write(keys, "a=1")], writer).result()
    patient.close()
    impossible.close()


@pytest.mark.parametrize("many", [False, True])
def test_a_lease_that_is_sent_again_gives_another_version(
    many: bool, servers_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer was lost, and a writer came between: what others filled under the first version must stay outdated."""
    monkeypatch.setattr("cacheops.stores.redis.new_version", lambda: b"12345678")
    monkeypatch.setattr("cacheops.stores.redis_leases.new_version", lambda: b"12345678")
    reader = Reader(servers_store, query(new_table(), "a=1"))

    def lease() -> Any:
        if many:
            return servers_store.lease_many([LeaseRequest(reader.entry, reader.tables)], TTL).result()[0][0]
        return reader.lease()

    first = lease()
    servers_store.fill([reader.encoded(first)]).result()
    assert reader.hits()
    servers_store.invalidate([write(reader.tables[0].keys, "a=1", whole=True)])
    assert lease() != first
    assert not reader.hits()


@pytest.mark.parametrize("whole", [False, True], ids=["tags", "whole"])
def test_a_writer_that_closes_a_table_is_not_taken_for_a_late_one(servers_store: RedisStore, whole: bool) -> None:
    keys, writer = new_table(), new_writer()
    reader = Reader(servers_store, query(keys, "a=1"))
    reader.fill()
    closed = [write(keys, "a=1", whole=whole, closes=True)]
    servers_store.mark(closed, writer, TTL).result()
    assert reader.lease() is Refusal.PENDING
    assert servers_store.clear(closed, writer).result() == 0
    assert isinstance(reader.lease(), bytes)


def test_a_tag_lives_as_long_as_the_longest_entry_that_depends_on_it(servers_store: RedisStore) -> None:
    """Or the entry of a long profile would end with the tag of a short one."""
    keys = new_table()
    reader = Reader(servers_store, query(keys, "a=1"))
    client = servers_store.servers.client
    for ttl in (1, 10_000, 1):
        reader.lease(ttl=ttl)
        least = 10_000 if ttl > 1 else 0
        assert all(client.pttl(tag) > 1000 * least for tag in reader.tags())
    assert all(client.pttl(tag) > 9_000_000 for tag in reader.tags())


def test_a_mark_takes_what_dead_writers_left_out_of_the_registry(servers_store: RedisStore) -> None:
    keys, dead, living = new_table(), new_writer(), new_writer()
    servers_store.mark([write(keys, "a=1")], dead, BRIEF).result()
    time.sleep(2 * BRIEF)
    servers_store.mark([write(keys, "a=1")], living, TTL).result()
    (fields,) = servers_store._transport.run_many([("HKEYS", keys.registry)], [keys.registry])
    assert set(fields) == {b"table", b"w:" + living}


def test_a_loader_whose_call_is_sent_again_has_its_lock(
    servers_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(servers_store, query(new_table(), "a=1"))
    with monkeypatch.context() as patch:
        patch.setattr("cacheops.stores.redis.new_version", lambda: b"a loader")
        assert [isinstance(reader.lease(hold=TTL), bytes) for _ in range(2)] == [True, True]
    assert reader.lease(hold=TTL) is Refusal.BUSY


def test_a_step_of_a_relay_that_is_sent_again_counts_and_spares_a_writers_mark(servers_store: RedisStore) -> None:
    """Its answer may be lost with its connection; R11."""
    keys, writer = new_table(), new_writer()
    marked, other = Reader(servers_store, query(keys, "a=1")), Reader(servers_store, query(keys, "a=2"))
    marked.fill()
    other.fill()
    servers_store.mark([write(keys, "a=1")], writer, TTL).result()
    transport = servers_store.transport([FOLLOW.source])
    names = [keys.followed, keys.position, keys.registry, keys.generation, *write(keys, "a=1", "a=2").key_list()]

    def step(over: str, record: str, until: int = 0) -> Any:
        return transport.run_many([FOLLOW.command(names, over, record, "somewhere", until, 1, "a")], [names[0]])[0]

    now = step("", "1")
    assert [now > 0, step("", "1", now + 60_000) > 0, step("", "2")] == [True, True, 0]
    assert 0 < transport.run_many([("PTTL", keys.position)], [keys.position])[0] <= 60_000
    assert (marked.lease(), other.hits()) == (Refusal.PENDING, False)
    assert servers_store.clear([write(keys, "a=1")], writer).result() == 0
    transport.close()
