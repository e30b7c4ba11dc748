"""The store on a region's Redis servers: a cluster, or a primary with its replicas."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from cacheops.exceptions import Unconfirmed
from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import VERSION_BYTES, new_version, versions_in
from cacheops.redis import Command, PushChannel, Servers
from cacheops.redis.thread_transport import ThreadTransport
from cacheops.stores.base import (
    EncodedEntry,
    LeaseRequest,
    MarkedTable,
    Refusal,
    Store,
    TableTags,
    TagVersions,
    outdated_among,
    tags_of,
)
from cacheops.stores.near import NearEntries
from cacheops.stores.redis_inspection import RedisInspection
from cacheops.stores.redis_leases import ManyLeases, fill_commands, lease_tags_commands, route_of, tag_versions
from cacheops.stores.reply import Reply
from cacheops.stores.scripts import CLEAR, INVALIDATE, LEASE, MARK, MAX_RUN, NOTE, OUTDATED, SCRIPTS

SCAN_BATCH = 500  # keys looked at in a round trip
NEAR_BYTES = 32 * 2**20  # of entries that a process holds
HOLD_SECONDS = 1.0  # after replicas did not confirm, for which the next writes hardly wait for them
HOLD_WAIT = 5  # milliseconds that they do: replicas that are there have confirmed by then
TAG_MARGIN = 60.0  # seconds that tags outlive their entries, so that an entry ends by its own age


class RedisStore(Store):
    """Keys of one table lie in one slot, so what belongs together goes to one server in one round trip.

    `wait_replicas` is how many replicas must hold a mark before it counts, for `wait_seconds` at most: a replica that
    takes over without it would serve what the writer has just changed.
    """

    def __init__(
        self,
        name: str,
        servers: Servers,
        wait_replicas: int = 0,
        wait_seconds: float = 0.1,
        near_bytes: int = NEAR_BYTES,
    ) -> None:
        self.name = name
        self.servers = servers
        self.addresses = servers.options.urls
        self.wait_replicas = wait_replicas
        self._wait_milliseconds = round(wait_seconds * 1000)
        self._held_until = 0.0  # monotonic
        self._transport = ThreadTransport(servers, [script.source for script in SCRIPTS])
        self.inspection = RedisInspection(servers, self._transport)
        self.near: NearEntries = NearEntries(partial(PushChannel, servers), near_bytes)

    @property
    def epoch(self) -> int:  # type: ignore[override]
        return self._transport.epoch

    # --- readers ----------------------------------------------------------------------------------------------------

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        runs = runs_of_tables(keys)
        if len(runs) == 1:
            return self._transport.run(("MGET", *keys), keys[0])
        found = self._transport.run_many([("MGET", *run) for run in runs])
        return [value for values in found for value in values]

    def lease(self, tables: Sequence[TableTags], loader: str, ttl: float, hold: float) -> Reply[bytes | Refusal]:
        version = new_version()
        commands: list[Command] = []
        for table in tables:
            locked = [loader] if hold > 0 and not commands else []
            keys = [table.keys.registry, *table.key_list(), *locked]
            milliseconds = round(hold * 1000) if locked else 0
            commands.append(LEASE.command(keys, version, lives(ttl), version, milliseconds, *table.schemes))

        routes = [command[3] for command in commands]

        def versions(answers: list[bytes]) -> bytes | Refusal:
            refused = [answer for answer in answers if len(answer) % VERSION_BYTES or answer in _REFUSALS]
            in_grace_period = self._transport.in_grace_period(routes)
            if not refused and not in_grace_period:
                return b"".join(answers)
            if hold > 0 and answers[0] not in _REFUSALS:
                self._transport.send([("DEL", loader)], None, list)
            return Refusal.PENDING if in_grace_period else _REFUSALS[refused[0]]

        return self._transport.send(commands, routes, versions)

    def lease_many(
        self, requests: Sequence[LeaseRequest], ttl: float
    ) -> Reply[list[tuple[bytes | Refusal, bytes | None]]]:
        leases = ManyLeases(requests)
        commands = leases.commands(lives(ttl))
        routes = [route_of(command) for command in commands]

        def leased(answers: list[Any]) -> list[tuple[bytes | Refusal, bytes | None]]:
            found = leases.leased(answers)
            if self._transport.in_grace_period(routes):
                return [(Refusal.PENDING, payload) for _, payload in found]
            return found

        return self._transport.send(commands, routes, leased)

    def lease_tags(
        self, keys: TableKeys, tags: Sequence[str], schemes: Sequence[str], ttl: float
    ) -> Reply[TagVersions | Refusal]:
        version = new_version()
        commands = lease_tags_commands(keys, tags, schemes, lives(ttl), version)
        routes = [keys.registry] * len(commands)

        def versions(answers: list[Any]) -> TagVersions | Refusal:
            return Refusal.PENDING if self._transport.in_grace_period(routes) else tag_versions(answers, version)

        return self._transport.send(commands, routes, versions)

    def fill(self, entries: Sequence[EncodedEntry], loaders: Sequence[str] = ()) -> Reply[int]:
        tags = tags_of(entries)
        commands = fill_commands(entries) + [("DEL", loader) for loader in loaders]
        before = len(commands)
        commands += [("MGET", *run) for run in runs_of_tables(tags)]

        def outdated(answers: list[Any]) -> int:
            return outdated_among(entries, tags, [value for values in answers[before:] for value in values])

        return self._transport.send(commands, [route_of(command) for command in commands], outdated)

    def lock(self, loaders: Sequence[str], hold: float) -> list[bool]:
        milliseconds = round(hold * 1000)
        answers = self._transport.run_many([("SET", loader, "1", "NX", "PX", milliseconds) for loader in loaders])
        return [answer is not None for answer in answers]

    def note_outdated(self, keys: TableKeys, seconds: float) -> None:
        self._transport.run_many([NOTE.command([keys.registry], round(seconds * 1000))], [keys.registry])

    def outdated_for(self, tables: Sequence[TableTags], versions: bytes) -> float | None:
        left = iter(versions_in(versions))
        commands = []
        for table in tables:
            tags = table.key_list()
            commands.append(OUTDATED.command([table.keys.outdated, *tags], *islice(left, len(tags))))
        ages = self._transport.run_many(commands, [command[3] for command in commands])
        return None if min(ages) < 0 else max(ages) / 1000

    # --- writers ----------------------------------------------------------------------------------------------------

    def mark(self, tables: Sequence[MarkedTable], writer: bytes, seconds: float) -> Reply[list[frozenset[str]]]:
        milliseconds = round(seconds * 1000)
        commands = [
            MARK.command(
                [table.keys.registry, table.keys.generation, *table.key_list()], writer, milliseconds, int(table.closes)
            )
            for table in tables
        ]
        routes = [table.keys.registry for table in tables]
        if self.wait_replicas:
            nodes = {self.servers.node_of(route): route for route in routes}
            commands += [self._wait()] * len(nodes)
            routes += nodes.values()

        def schemes(answers: list[Any]) -> list[frozenset[str]]:
            self._drop_near(tables)
            # R10: a replica that takes over without a mark would serve what the writer changes.
            confirmed = self._confirmed(answers[len(tables) :])
            if confirmed < self.wait_replicas:
                raise Unconfirmed(
                    f"{confirmed} of {self.wait_replicas} replicas confirmed a mark in time; a fail-over now would "
                    "lose it."
                )
            return [frozenset(scheme.decode() for scheme in answer) for answer in answers[: len(tables)]]

        return self._transport.send(commands, routes, schemes)

    def clear(self, tables: Sequence[MarkedTable], writer: bytes) -> Reply[int]:
        commands = [
            CLEAR.command([table.keys.registry, table.keys.generation, *table.standing()], writer, int(table.closes))
            for table in tables
        ]
        marked = sum(len(table.standing()) + table.closes for table in tables)
        routes = [table.keys.registry for table in tables]
        return self._transport.send(commands, routes, lambda standing: marked - sum(standing), resend=True)

    def invalidate(self, tables: Sequence[MarkedTable]) -> int:
        commands = [INVALIDATE.command(table.key_list()) for table in tables]
        deleted = sum(self._transport.run_many(commands, [command[3] for command in commands]))
        self._drop_near(tables)
        return deleted

    def _drop_near(self, tables: Sequence[MarkedTable]) -> None:
        """Outdate what this process holds of tables (R33): of all their tags, as a lost registry hides some."""
        self.near.drop([table.keys.generation for table in tables])

    def confirmations(self) -> int:
        nodes, wait = self.servers.primaries(), self._wait()
        # WAIT is for what was written before its connection's last command: with one of now, for what others wrote.
        answers = self._transport.run_many([("PING",), wait] * len(nodes), [node for node in nodes for _ in range(2)])
        return self._confirmed(answers[1::2])

    def _wait(self) -> Command:
        """Return the question whether the replicas have it all. What was in vain just now is not waited for again."""
        milliseconds = min(self._wait_milliseconds, HOLD_WAIT) if self._is_held() else self._wait_milliseconds
        return "WAIT", self.wait_replicas, milliseconds

    def _is_held(self) -> bool:
        return time.monotonic() < self._held_until

    def _confirmed(self, answers: Sequence[int]) -> int:
        """Return how many replicas of each primary have confirmed: the fewest of any."""
        confirmed = min(answers, default=0)
        if confirmed >= self.wait_replicas:
            self._held_until = 0.0
        elif not self._is_held():  # once a second all of the time is waited: a replica may be slow
            self._held_until = time.monotonic() + HOLD_SECONDS
        return confirmed

    # --- keys -------------------------------------------------------------------------------------------------------

    def schemes(self, keys: TableKeys) -> frozenset[str]:
        fields = self._transport.run_many([("HKEYS", keys.registry)])[0]
        return frozenset(field[2:].decode() for field in fields if field.startswith(b"s:"))

    def scan(self, prefix: str) -> Iterator[list[str]]:
        for batch in self.servers.scan(pattern_of(prefix), SCAN_BATCH):
            yield [key.decode() for key in batch]

    def scan_page(self, prefix: str, cursor: str, size: int) -> tuple[list[str], str]:
        keys, following = self.servers.scan_page(pattern_of(prefix), cursor, size)
        return [key.decode() for key in keys], following

    def delete(self, keys: Sequence[str]) -> int:
        return sum(self._transport.run_many([("UNLINK", key) for key in keys]))

    # --- servers ----------------------------------------------------------------------------------------------------

    def transport(self, scripts: Sequence[str]) -> ThreadTransport:
        return ThreadTransport(self.servers, scripts)

    def note_replicas(self) -> int:
        return self.servers.note_replicas()

    def close(self) -> None:
        self._transport.close()


def pattern_of(prefix: str) -> str:
    """Return the pattern (KEYS, SCAN) of what begins with a text."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix) + "*"


def lives(ttl: float) -> int:
    """Return the milliseconds that tags live under entries of so many seconds."""
    return round((ttl + TAG_MARGIN) * 1000)


_REFUSALS = {refusal.value.encode(): refusal for refusal in Refusal}


def runs_of_tables(keys: Sequence[str]) -> list[Sequence[str]]:
    """Return the keys in runs of one table each, which lie in one slot each; their order stays."""
    if not keys:
        return []
    start, table = 0, table_of(keys[0])
    if len(keys) <= MAX_RUN:  # most reads are of one table
        for key in keys:
            if not key.startswith(table):
                break
        else:
            return [keys]
    runs: list[Sequence[str]] = []
    for index, key in enumerate(keys):
        if index - start == MAX_RUN or not key.startswith(table):
            runs.append(keys[start:index])
            start, table = index, table_of(key)
    runs.append(keys[start:])
    return runs


def table_of(key: str) -> str:
    """Return a key up to the end of its hash tag, which decides on its slot."""
    return key[: key.index("}") + 1]
