"""A buffer of writes that are acknowledged and not in the database yet, on a region's Redis servers.

It is a stream with a consumer group (https://redis.io/docs/data-types/streams/). Its keys lie in one slot. It
has no time to live: it holds what the database has not.
"""

import re
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cacheops.exceptions import BufferFull, NotBuffered, NotReplicated, NoWorker
from cacheops.stores.base import CommandTransport, Store
from cacheops.stores.scripts import MAX_RUN, Script

GROUP = "writers"
HOLD_SECONDS = 1.0  # after a replica did not confirm: each further try would cost the caller the whole wait
WORKER_SECONDS = 60.0  # a worker comes twice a second, but a slow batch may keep it
GONE_SECONDS = 3600.0  # after which a dead worker's name is forgotten
MAXMEMORY_POLICY = re.compile(rb"maxmemory_policy:(\S+)")
KEEPS = re.compile("noeviction|volatile-.*")  # what has no time to live; lua/policy.lua has the same

APPEND, TAKE, DONE, LEAVE, STATS = SCRIPTS = [
    *[Script("policy", f"buffer_{name}") for name in ("append", "take")],
    *[Script(f"buffer_{name}") for name in ("done", "leave", "stats")],
]


class Taken(NamedTuple):
    """One buffered write, given to a worker; it is given out again unless the worker says that it is done."""

    id: str
    payload: bytes
    deliveries: int  # how often it was given out, this time included


class Newest(NamedTuple):
    """A buffered write that is the newest of its name so far. Orders compare as text."""

    name: str
    order: str
    payload: bytes


def payload_in(value: bytes) -> bytes:
    """Return the payload in the value of a newest write's key, which holds its order before."""
    return value.partition(b"\0")[2]


class BufferStats(NamedTuple):
    """How much a buffer holds. Ages are in seconds, by the server's clock."""

    depth: int = 0  # writes that are acknowledged and not done
    oldest: float = 0.0  # age of the oldest of them; 0 where there is none
    taken: int = 0  # of them, how many workers have
    workers: int = 0  # that were seen within WORKER_SECONDS


class Buffer:
    """Methods raise StoreUnavailable when there is no answer, CommandRefused when the answer is no.

    `base` is what its keys begin with, hash tag included; `wait_replicas` must confirm within `wait_seconds`.
    """

    def __init__(self, base: str, transport: CommandTransport, wait_replicas: int, wait_seconds: float) -> None:
        self.base = base
        self.stream = f"{base}s"
        self.keys = [self.stream, f"{base}w"]
        self.wait_replicas = wait_replicas
        self._wait = ("WAIT", wait_replicas, round(wait_seconds * 1000))
        self._transport = transport
        self._held_until = 0.0  # monotonic

    def problem(self) -> str:
        """Say why nothing would be buffered here now, for people; "" where it would. An append finds out by itself."""
        policy = self.eviction_policy() if self.wait_replicas else ""
        return self._unreplicated() or ("" if KEEPS.fullmatch(policy) else evicted_under(policy))

    def _unreplicated(self) -> str:
        """Say why no replica would hold a write; "" where one would, as far as is known."""
        if self.wait_replicas < 1:
            return "no replica would hold it: CACHEOPS_WAIT_REPLICAS is 0 for this region"
        return "the replicas did not confirm a write lately" if time.monotonic() < self._held_until else ""

    def eviction_policy(self) -> str:
        """Return maxmemory-policy of the stream's server. (From INFO: the access list forbids CONFIG.)"""
        found = MAXMEMORY_POLICY.search(self._transport.run_many([("INFO", "memory")], [self.stream])[0])
        return found[1].decode() if found else "unknown"

    def append(self, payloads: Sequence[bytes], bound: int, newest: Sequence[Newest] = (), keep: float = 60) -> None:
        """Add writes, all or none; return when a replica has them too.

        Of each name in `newest`, the one with the highest order is kept for `keep` seconds. Raise BufferFull where
        there would be more than `bound`, NotBuffered where no worker would take them, the server may evict them, or no
        replica would hold them; NotReplicated where the replicas did not confirm in time: the writes may be in the
        buffer all the same.
        """
        if problem := self._unreplicated():
            raise NotBuffered(problem)
        keys = [*self.keys, *self._newest_keys(one.name for one in newest)]
        ordered = [part for one in newest for part in (one.order, one.payload)]
        append = APPEND.command(keys, bound, round(keep * 1000), len(payloads), *payloads, *ordered)
        outcome, confirmed = self._transport.run_many([append, self._wait], [self.stream, self.stream])
        if outcome == b"full":
            raise BufferFull(f"{bound} writes wait for the database: send again later, or add workers (flush_writes).")
        if outcome == b"idle":
            raise NoWorker("no worker would take it: run `manage.py flush_writes`")
        if outcome != b"ok":
            raise NotBuffered(evicted_under(outcome.decode().removeprefix("evicts ")))
        if confirmed < self.wait_replicas:
            self._held_until = time.monotonic() + HOLD_SECONDS
            raise NotReplicated(f"{confirmed} of {self.wait_replicas} replicas confirmed it in time")

    def newest_many(self, names: Sequence[str]) -> dict[str, bytes | None]:
        """Return the key of the newest write of each name, and its value, in one round trip; None: none lately."""
        keys = self._newest_keys(names)
        commands = [("MGET", *keys[start : start + MAX_RUN]) for start in range(0, len(keys), MAX_RUN)]
        answers = self._transport.run_many(commands, [self.stream] * len(commands)) if commands else []
        return dict(zip(keys, [one for answer in answers for one in answer], strict=True))

    def _newest_keys(self, names: Iterable[str]) -> list[str]:
        return [f"{self.base}n:{name}" for name in names]

    def take(self, worker: str, count: int, age: float, retry: float) -> list[Taken]:
        """Give a worker up to `count` writes: those to be tried again, else new ones; else none.

        New ones are given once there are `count`, or the oldest is `age` seconds old. A write that is not done is given
        again after `retry` seconds, then after twice as many, and so on.
        """
        milliseconds = [round(seconds * 1000) for seconds in (age, retry, WORKER_SECONDS)]
        command = TAKE.command(self.keys, GROUP, worker, count, *milliseconds)
        found = self._transport.run_many([command], [self.stream])[0]
        triples = zip(found[::3], found[1::3], found[2::3], strict=True)
        return [Taken(id.decode(), payload, deliveries) for id, payload, deliveries in triples]

    def done(self, ids: Sequence[str]) -> None:
        """Forget writes that are in the database."""
        self._transport.run_many([DONE.command([self.stream], GROUP, *ids)], [self.stream])

    def give_back(self, worker: str, taken: Sequence[Taken]) -> None:
        """Have writes given out again as if this time had not been: no attempt was made, the database was away."""
        claim = ("XCLAIM", self.stream, GROUP, worker, 0)
        self._transport.run_many([(*claim, one.id, "RETRYCOUNT", one.deliveries - 1, "JUSTID") for one in taken])

    def leave(self, worker: str) -> None:
        """Forget a worker that ends, and those that have long been gone. What they have not done stays."""
        command = LEAVE.command(self.keys, GROUP, worker, round(GONE_SECONDS * 1000))
        self._transport.run_many([command], [self.stream])

    def stats(self) -> BufferStats:
        """Return how much there is."""
        command = STATS.command(self.keys, GROUP, round(WORKER_SECONDS * 1000))
        depth, oldest, taken, workers = self._transport.run_many([command], [self.stream])[0]
        return BufferStats(depth, oldest / 1000, taken, workers)

    def close(self) -> None:
        """Close this thread's connections."""
        self._transport.close()


class NoBuffer(Buffer):
    """Stands for one where there can be none: a process's memory is gone with the process. It never holds anything."""

    def __init__(self) -> None:
        """Take no servers."""

    def problem(self) -> str:
        return "the region's cache is in this process's memory, which a crash empties"

    _unreplicated = problem

    def newest_many(self, names: Sequence[str]) -> dict[str, bytes | None]:
        return {}

    def take(self, worker: str, count: int, age: float, retry: float) -> list[Taken]:
        return []

    def leave(self, worker: str) -> None:
        """There is nothing to forget."""

    def stats(self) -> BufferStats:
        return BufferStats()


def evicted_under(policy: str) -> str:
    return f"maxmemory-policy is {policy}, which may evict it"


def buffer_of(store: Store, base: str, wait_seconds: float) -> Buffer:
    """Return a buffer on a store's servers; one that takes nothing where it has none."""
    transport = store.transport([script.source for script in SCRIPTS])
    return NoBuffer() if transport is None else Buffer(base, transport, store.wait_replicas, wait_seconds)
