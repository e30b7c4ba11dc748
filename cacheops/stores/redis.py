"""The store on a region's Redis servers: a cluster, or a primary with its replicas."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from cacheops.exceptions import StoreError, StoreUnavailable
from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import VERSION_BYTES, new_version, versions_in
from cacheops.redis import Command, Servers
from cacheops.redis.transport import Wire
from cacheops.stores.base import (
    MarkedTable,
    Refusal,
    Sealed,
    Store,
    TableTags,
    TagVersions,
    Told,
    Wanted,
    outdated_among,
    tags_of,
)
from cacheops.stores.redis_leases import ManyLeases, fill_many_commands, lease_tags_commands, route_of, tag_versions
from cacheops.stores.scripts import CLEAR, INVALIDATE, LEASE, MARK, NOTE, OUTDATED, SCRIPTS

SCAN_BATCH = 500  # keys looked at in a round trip
MAX_RUN = 1000  # keys in one MGET: some 0.2 ms of the server's time, in which it answers nobody else
TAG_MARGIN = 60.0  # seconds that tags outlive their entries, so that an entry ends by its own age


class RedisStore(Store):
    """Keys of one table lie in one slot, so what belongs together goes to one server in one round trip.

    `wait_replicas` is how many replicas must hold a mark before it counts, for `wait_seconds` at most: a replica that
    takes over without it would serve what the writer has just changed.
    """

    def __init__(self, name: str, servers: Servers, wait_replicas: int = 0, wait_seconds: float = 0.1) -> None:
        self.name = name
        self.servers = servers
        self.wait_replicas = wait_replicas
        self._wait = ("WAIT", wait_replicas, round(wait_seconds * 1000))
        self._wire = Wire(servers, [script.source for script in SCRIPTS])

    @property
    def epoch(self) -> int:  # type: ignore[override]
        return self._wire.epoch

    def schemes(self, keys: TableKeys) -> frozenset[str]:
        fields = self._wire.call([("HKEYS", keys.registry)])[0]
        return frozenset(field[2:].decode() for field in fields if field.startswith(b"s:"))

    def replicated(self) -> bool:
        if not self.wait_replicas:
            return True
        nodes = self.servers.primaries()
        return all(count >= self.wait_replicas for count in self._wire.call([self._wait] * len(nodes), nodes))

    def close(self) -> None:
        self._wire.forget()

    # --- readers ----------------------------------------------------------------------------------------------------

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        first = keys[0]
        table = first[: first.index("}") + 1]
        if len(keys) <= MAX_RUN and all(key.startswith(table) for key in keys):
            return self._wire.ask(("MGET", *keys), first)
        found = self._wire.call([("MGET", *run) for run in runs_of_tables(keys)])
        return [value for values in found for value in values]

    def lease(self, tables: Sequence[TableTags], loader: str, ttl: float, hold: float) -> bytes | Refusal:
        return self.lease_begin(tables, loader, ttl, hold)()

    def lease_begin(
        self, tables: Sequence[TableTags], loader: str, ttl: float, hold: float
    ) -> Callable[[], bytes | Refusal]:
        version = new_version()
        commands: list[Command] = []
        for table in tables:
            locked = [loader] if hold > 0 and not commands else []
            keys = [table.keys.registry, *table.key_list(), *locked]
            milliseconds = round(hold * 1000) if locked else 0
            lives = round((ttl + TAG_MARGIN) * 1000)
            commands.append(LEASE.command(keys, version, lives, version, milliseconds, *table.schemes))
        answer = self._wire.begin(commands, [command[3] for command in commands])
        return lambda: self._leased(answer(), loader if hold > 0 else None)

    def _leased(self, answers: Sequence[bytes], loader: str | None) -> bytes | Refusal:
        for answer in answers:
            if len(answer) % VERSION_BYTES or answer in _REFUSALS:
                if loader is not None and answers[0] not in _REFUSALS:
                    self.release(loader)
                return _REFUSALS[answer]
        return b"".join(answers)

    def lease_many(self, wanted: Sequence[Wanted], ttl: float) -> list[tuple[bytes | Refusal, bytes | None]]:
        return self.lease_many_begin(wanted, ttl)()

    def lease_many_begin(
        self, wanted: Sequence[Wanted], ttl: float
    ) -> Callable[[], list[tuple[bytes | Refusal, bytes | None]]]:
        if not wanted:
            return list
        leases = ManyLeases(wanted)
        commands = leases.commands(round((ttl + TAG_MARGIN) * 1000))
        answer = self._wire.begin(commands, [route_of(command) for command in commands])
        return lambda: leases.leased(answer())

    def lease_tags(
        self, keys: TableKeys, tags: Sequence[str], schemes: Sequence[str], ttl: float
    ) -> TagVersions | Refusal:
        version = new_version()
        commands = lease_tags_commands(keys, tags, schemes, round((ttl + TAG_MARGIN) * 1000), version)
        return tag_versions(self._wire.call(commands, [keys.registry] * len(commands)), version)

    def fill_many(self, sealed: Sequence[Sealed]) -> None:
        self.fill_many_begin(sealed)()

    def fill_many_begin(self, sealed: Sequence[Sealed]) -> Callable[[], None]:
        commands = fill_many_commands(sealed)
        answer = self._wire.begin(commands, [route_of(command) for command in commands]) if commands else list

        def stored() -> None:
            answer()

        return stored

    def fill_soon(self, sealed: Sequence[Sealed], loaders: Sequence[str], told: Told[int]) -> None:
        commands: list[Command] = [set_command(one) for one in sealed]
        commands += [("DEL", loader) for loader in loaders]
        looks = len(commands)
        tags = tags_of(sealed)
        commands += [("MGET", *run) for run in runs_of_tables(tags)]

        def heard(answers: list[Any] | StoreError) -> None:
            if isinstance(answers, StoreError):
                told(answers)
            else:
                told(outdated_among(sealed, tags, [value for values in answers[looks:] for value in values]))

        self._wire.leave(commands, [command[1] for command in commands], heard, mend=False)

    def note_outdated(self, keys: TableKeys, seconds: float) -> None:
        self._wire.call([NOTE.command([keys.registry], round(seconds * 1000))], [keys.registry])

    def outdated_for(self, tables: Sequence[TableTags], versions: bytes) -> float | None:
        left = iter(versions_in(versions))
        commands = []
        for table in tables:
            tags = table.key_list()
            commands.append(OUTDATED.command([table.keys.outdated, *tags], *islice(left, len(tags))))
        ages = self._wire.call(commands, [command[3] for command in commands])
        return None if min(ages) < 0 else max(ages) / 1000

    def lock(self, loader: str, hold: float) -> bool:
        return self.lock_many([loader], hold)[0]

    def lock_many(self, loaders: Sequence[str], hold: float) -> list[bool]:
        milliseconds = round(hold * 1000)
        answers = self._wire.call([("SET", loader, "1", "NX", "PX", milliseconds) for loader in loaders])
        return [answer is not None for answer in answers]

    def release(self, loader: str) -> None:
        self.release_many([loader])

    def release_many(self, loaders: Sequence[str]) -> None:
        self._wire.call([("DEL", loader) for loader in loaders])

    # --- writers ----------------------------------------------------------------------------------------------------

    def mark_begin(
        self, tables: Sequence[MarkedTable], writer: bytes, seconds: float
    ) -> Callable[[], list[frozenset[str]]]:
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
            commands += [self._wait] * len(nodes)
            routes += nodes.values()
        answer = self._wire.begin(commands, routes)

        def schemes() -> list[frozenset[str]]:
            answers = answer()
            if any(acknowledged < self.wait_replicas for acknowledged in answers[len(tables) :]):
                raise StoreUnavailable(
                    f"{self.name}: the replicas did not confirm a mark in time; a fail-over now would lose it."
                )
            return [frozenset(scheme.decode() for scheme in answer) for answer in answers[: len(tables)]]

        return schemes

    def clear_begin(self, tables: Sequence[MarkedTable], writer: bytes) -> Callable[[], int]:
        commands = [clear_command(table, writer) for table in tables]
        answer = self._wire.begin(commands, [table.keys.registry for table in tables])
        marked = sum(len(table.standing()) + table.closes for table in tables)
        return lambda: marked - sum(answer())

    def clear_soon(self, tables: Sequence[MarkedTable], writer: bytes, told: Told[int]) -> None:
        for table in tables:
            marked = len(table.standing()) + table.closes

            def heard(answers: list[Any] | StoreError, marked: int = marked) -> None:
                told(answers if isinstance(answers, StoreError) else marked - answers[0])

            self._wire.leave([clear_command(table, writer)], [table.keys.registry], heard, mend=True)

    def invalidate(self, tables: Sequence[MarkedTable]) -> int:
        commands = [INVALIDATE.command(table.key_list()) for table in tables]
        return sum(self._wire.call(commands, [command[3] for command in commands]))

    # --- use --------------------------------------------------------------------------------------------------------

    def note_use(self, key: str, counts: Mapping[str, int], most: int, ttl: float) -> None:
        commands: list[Command] = [("ZINCRBY", key, count, name) for name, count in counts.items()]
        commands += [("ZREMRANGEBYRANK", key, 0, -most - 1), ("PEXPIRE", key, round(ttl * 1000))]
        self._wire.leave(commands, [key] * len(commands), lambda heard: None, mend=False)

    def used(self, keys: Sequence[str], most: int) -> list[list[tuple[str, float]]]:
        found = self._wire.call([("ZREVRANGE", key, 0, most - 1, "WITHSCORES") for key in keys])
        return [
            [(name.decode(), float(count)) for name, count in zip(row[::2], row[1::2], strict=True)] for row in found
        ]

    # --- looking after it -------------------------------------------------------------------------------------------

    def scan(self, prefix: str) -> Iterator[list[str]]:
        pattern = "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix) + "*"
        for batch in self.servers.scan(pattern, SCAN_BATCH):
            yield [key.decode() for key in batch]

    def sizes(self, keys: Sequence[str]) -> list[int]:
        return [size or 0 for size in self.servers.run_many([("MEMORY USAGE", key) for key in keys], read=True)]

    def delete(self, keys: Sequence[str]) -> int:
        return sum(self.servers.run_many([("UNLINK", key) for key in keys]))

    def info(self) -> list[dict[str, Any]]:
        return self.servers.infos()


def clear_command(table: MarkedTable, writer: bytes) -> Command:
    return CLEAR.command([table.keys.registry, table.keys.generation, *table.standing()], writer, int(table.closes))


def set_command(one: Sealed) -> Command:
    return ("SET", one.entry, one.payload, "PX", max(1, round(one.ttl * 1000)))


_REFUSALS = {refusal.value.encode(): refusal for refusal in Refusal}


def runs_of_tables(keys: Sequence[str]) -> list[Sequence[str]]:
    """Return the keys in runs of one table each, which lie in one slot each; their order stays."""
    ends = [index for index, (key, after) in enumerate(pairwise(keys), 1) if table_of(key) != table_of(after)]
    bounds = [0, *ends, len(keys)]
    return [keys[at : min(at + MAX_RUN, end)] for start, end in pairwise(bounds) for at in range(start, end, MAX_RUN)]


def table_of(key: str) -> str:
    return key[: key.index("}")]
