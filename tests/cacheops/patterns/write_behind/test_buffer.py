"""The buffer on Redis: a stream of which each write is given out until it is done."""

import time
from types import SimpleNamespace
from typing import cast

import pytest

from cacheops.exceptions import BufferFull, NotBuffered, NotReplicated, NoWorker
from cacheops.patterns.write_behind.buffer import Buffer, BufferStats, Newest, Taken
from cacheops.stores.base import CommandTransport

LONG = 3600.0  # seconds that no test lasts


def payloads(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def test_writes_come_out_in_order_and_once(buffer: Buffer) -> None:
    buffer.append(payloads(5), bound=100)
    first = buffer.take("one", 3, 0, LONG)
    second = buffer.take("two", 3, 0, LONG)
    assert [one.payload for one in first + second] == payloads(5)
    assert buffer.take("three", 3, 0, LONG) == []


def test_a_batch_waits_until_it_is_full_or_old(buffer: Buffer) -> None:
    buffer.append(payloads(2), bound=100)
    assert buffer.take("one", 3, LONG, LONG) == []
    buffer.append(payloads(1), bound=100)
    assert len(buffer.take("one", 3, LONG, LONG)) == 3
    buffer.append(payloads(1), bound=100)
    assert buffer.take("one", 3, LONG, LONG) == []  # those that are taken do not fill it
    time.sleep(0.02)
    assert len(buffer.take("one", 3, 0.01, LONG)) == 1


def test_what_is_not_done_is_given_to_another(buffer: Buffer) -> None:
    buffer.append(payloads(2), bound=100)
    (kept, left) = buffer.take("dead", 2, 0, LONG)
    buffer.done([kept.id])
    assert buffer.take("heir", 2, 0, LONG) == []
    (again,) = buffer.take("heir", 2, 0, 0)
    assert (again.id, again.payload, again.deliveries) == (left.id, left.payload, 2)
    buffer.append(payloads(2), bound=100)
    buffer.take("dead", 2, 0, LONG)
    assert len(buffer.take("heir", 2, 0, 0)) == 2  # of three


def let_wait(buffer: Buffer, taken: list[Taken]) -> None:
    """Have the last deliveries of these writes been LONG ago."""
    ids, milliseconds = [one.id for one in taken], int(LONG * 1000)
    claim = ("XCLAIM", buffer.stream, "writers", "one", 0, *ids, "IDLE", milliseconds, "JUSTID")
    buffer._transport.run_many([claim], [buffer.stream])


def test_each_time_it_waits_twice_as_long(buffer: Buffer) -> None:
    buffer.append(payloads(1), bound=100)
    for _ in range(4):
        taken = buffer.take("one", 1, 0, 0)
    let_wait(buffer, taken)
    assert buffer.take("one", 1, 0, LONG / 4) == []  # after four deliveries it waits for 8 times as long
    assert [one.deliveries for one in buffer.take("one", 1, 0, LONG / 16)] == [5]
    for _ in range(4):
        taken = buffer.take("one", 1, 0, 0)
    let_wait(buffer, taken)
    assert [one.deliveries for one in buffer.take("one", 1, 0, LONG / 40)] == [10]  # 32 times as long at most


def test_waiting_ones_do_not_hide_those_behind_them(buffer: Buffer) -> None:
    """More than one page of writes that are to be tried much later, then one that is due."""
    buffer.append(payloads(150), bound=1000)
    for _ in range(4):
        bad = buffer.take("bad", 150, 0, 0)
    assert len(bad) == 150
    buffer.append([b"good"], bound=1000)
    let_wait(buffer, bad + buffer.take("dead", 1, 0, LONG))
    assert [one.payload for one in buffer.take("heir", 10, LONG, LONG / 4)] == [b"good"]


def test_done_leaves_nothing(buffer: Buffer) -> None:
    buffer.append(payloads(3), bound=100)
    buffer.done([one.id for one in buffer.take("one", 3, 0, LONG)])
    assert buffer.stats()._replace(workers=0) == BufferStats()
    assert buffer.take("one", 3, 0, 0) == []


def test_a_full_buffer_takes_nothing_of_what_is_too_much(buffer: Buffer) -> None:
    buffer.append(payloads(3), bound=4)
    with pytest.raises(BufferFull, match="4 writes wait"):
        buffer.append(payloads(2), bound=4)
    assert buffer.stats().depth == 3
    buffer.append(payloads(1), bound=4)


def test_without_a_worker_nothing_is_taken(buffer: Buffer) -> None:
    buffer.leave("worker")
    with pytest.raises(NoWorker):
        buffer.append(payloads(1), bound=4)


def test_a_worker_that_leaves_with_writes_loses_none(buffer: Buffer) -> None:
    buffer.append(payloads(1), bound=4)
    assert buffer.take("leaver", 1, 0, LONG)
    buffer.leave("leaver")
    assert [one.payload for one in buffer.take("heir", 1, 0, 0)] == payloads(1)


def workers(buffer: Buffer) -> set[bytes]:
    """Return the names of those whom the stream's group knows."""
    ((*consumers,),) = buffer._transport.run_many([("XINFO", "CONSUMERS", buffer.stream, "writers")], [buffer.stream])
    return {dict(zip(one[::2], one[1::2], strict=True))[b"name"] for one in consumers}


def test_who_leaves_is_forgotten_and_so_is_who_has_long_been_gone(
    buffer: Buffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer.append(payloads(3), bound=100)
    for worker in ("leaver", "gone", "dead"):
        taken = buffer.take(worker, 1, 0, LONG)
        if worker != "dead":
            buffer.done([one.id for one in taken])
    buffer.leave("leaver")
    assert workers(buffer) == {b"gone", b"dead"}
    monkeypatch.setattr("cacheops.patterns.write_behind.buffer.GONE_SECONDS", -1)
    buffer.leave("another")
    assert workers(buffer) == {b"dead"}  # its write would be lost with it


def test_the_newest_of_a_name_is_kept_whoever_comes_last(buffer: Buffer) -> None:
    for order, newest in (("2", b"2\0x"), ("1", b"2\0x"), ("3", b"3\0x")):
        buffer.append(payloads(1), 100, [Newest("a", order, b"x")])
        assert [*buffer.newest_many(["a", "b"]).values()] == [newest, None]


def test_a_lost_group_is_made_anew_and_skips_nothing(buffer: Buffer) -> None:
    buffer.append(payloads(2), bound=100)
    assert len(buffer.take("one", 1, 0, LONG)) == 1
    buffer._transport.run_many([("XGROUP", "DESTROY", buffer.stream, "writers")], [buffer.stream])
    assert [one.payload for one in buffer.take("one", 5, 0, LONG)] == payloads(2)


def test_figures(buffer: Buffer) -> None:
    buffer.append(payloads(3), bound=100)
    buffer.take("one", 1, 0, LONG)
    time.sleep(0.01)
    found = buffer.stats()
    assert (found.depth, found.taken, found.workers) == (3, 1, 2)
    assert 0 < found.oldest < LONG
    long_gone = ("HSET", buffer.keys[1], "long-gone", 0)
    of_others = ("XGROUP", "CREATE", buffer.stream, "zzz", "0")
    buffer._transport.run_many([long_gone, of_others], [buffer.stream] * 2)
    assert buffer.stats()._replace(oldest=0) == BufferStats(3, 0, 1, 2)


def test_the_stream_has_no_time_to_live(buffer: Buffer) -> None:
    """It holds what the database has not; all of its keys lie in one slot."""
    buffer.append(payloads(1), bound=100)
    ((lives, dies),) = [buffer._transport.run_many([("PTTL", key) for key in buffer.keys])]
    assert (lives, dies > 0) == (-1, True)
    assert len({key.split("}")[0] for key in buffer.keys}) == 1


def test_replicas_that_did_not_confirm_are_left_alone_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacheops.patterns.write_behind.buffer.HOLD_SECONDS", LONG)
    transport = SimpleNamespace(run_many=lambda commands, routes: [b"ok", 0])
    buffer = Buffer("b:{a}:", cast(CommandTransport, transport), 1, 0.1)
    with pytest.raises(NotReplicated, match="0 of 1"):
        buffer.append(payloads(1), bound=100)
    with pytest.raises(NotBuffered, match="did not confirm a write lately"):
        buffer.append(payloads(1), bound=100)
