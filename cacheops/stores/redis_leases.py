"""Many leases at once on Redis: a script call a table, and the entries that are there, in one round trip a server."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import VERSION_BYTES, new_version, versions_in
from cacheops.redis import Command
from cacheops.stores.base import EncodedEntry, LeaseRequest, Refusal, TagVersions
from cacheops.stores.scripts import FILL_MANY, LEASE_MANY

# Keys in one call: a script stops its server, some 2 µs a key.
SCRIPT_KEYS = 200
NO_VERSION = bytes(VERSION_BYTES)  # in place of that of a tag that a writer is about to change


@dataclass(slots=True)
class _TableLease:
    """The tags and schemes that all queries together need of one table; dictionaries for their order."""

    keys: TableKeys
    tags: dict[str, None] = field(default_factory=dict)
    schemes: dict[str, None] = field(default_factory=dict)

    _last: tuple[str, ...] | None = None  # schemes: those of a batch are often the same object

    def add(self, keys: Sequence[str], schemes: tuple[str, ...]) -> None:
        """Add one query: its generation's key, then its tags', and its schemes."""
        for key in keys[1:]:
            self.tags[key] = None
        if schemes is not self._last:
            self.schemes.update(dict.fromkeys(schemes))
            self._last = schemes

    def parts(self) -> list[list[str]]:
        tags = list(self.tags)
        return [tags[start : start + SCRIPT_KEYS] for start in range(0, len(tags), SCRIPT_KEYS)] or [[]]


class ManyLeases:
    """The commands that lease many queries' tags, and the decoding of their answers."""

    def __init__(self, requests: Sequence[LeaseRequest]) -> None:
        self._requests = requests
        self._keys = [[table.key_list() for table in one.tables] for one in requests]
        self._tables: dict[str, _TableLease] = {}
        self._entries: dict[str, list[int]] = {}  # by the slot's table
        for index, one in enumerate(requests):
            for table, keys in zip(one.tables, self._keys[index], strict=True):
                base = table.keys.base
                lease = self._tables.get(base)
                if lease is None:
                    lease = self._tables[base] = _TableLease(table.keys)
                lease.add(keys, table.schemes)
            places = self._entries.get(one.tables[0].keys.base)
            if places is None:
                places = self._entries[one.tables[0].keys.base] = []
            places.append(index)

    def commands(self, lives: int) -> list[Command]:
        """Return the scripts' calls, then one read of each table's entries. `lives` in milliseconds."""
        version = new_version()
        leases = [
            LEASE_MANY.command([lease.keys.registry, lease.keys.generation, *part], version, lives, *lease.schemes)
            for lease in self._tables.values()
            for part in lease.parts()
        ]
        reads = (("MGET", *[self._requests[index].entry for index in places]) for places in self._entries.values())
        return [*leases, *reads]

    def leased(self, answers: Sequence[Any]) -> list[tuple[bytes | Refusal, bytes | None]]:
        """Return for each query its versions, or the refusal, and its entry's bytes."""
        remaining = iter(answers)
        versions: dict[str, bytes] = {}
        refused: dict[tuple[str, str], Refusal] = {}
        for base, lease in self._tables.items():
            for part in lease.parts():
                answer = next(remaining)
                for scheme, verdict in zip(lease.schemes, answer, strict=False):
                    if verdict:
                        refused[base, scheme] = Refusal(verdict.decode())
                versions.update(zip([lease.keys.generation, *part], versions_in(answer[-1]), strict=True))
        payloads: list[bytes | None] = [None] * len(self._requests)
        for places in self._entries.values():
            for index, payload in zip(places, next(remaining), strict=True):
                payloads[index] = payload
        return [(self._one(index, versions, refused), payloads[index]) for index in range(len(self._requests))]

    def _one(self, index: int, versions: dict[str, bytes], refused: dict[tuple[str, str], Refusal]) -> bytes | Refusal:
        if refused:
            for table in self._requests[index].tables:
                for scheme in table.schemes:
                    refusal = refused.get((table.keys.base, scheme))
                    if refusal is not None:
                        return refusal
        found = [versions[key] for keys in self._keys[index] for key in keys]
        return Refusal.PENDING if NO_VERSION in found else b"".join(found)


def lease_tags_commands(
    keys: TableKeys, tags: Sequence[str], schemes: Sequence[str], lives: int, version: bytes
) -> list[Command]:
    """Return the calls that lease tags of one table; `tags` are their keys, `lives` in milliseconds."""
    parts = [tags[start : start + SCRIPT_KEYS] for start in range(0, len(tags), SCRIPT_KEYS)]
    return [LEASE_MANY.command([keys.registry, keys.generation, *part], version, lives, *schemes) for part in parts]


def tag_versions(answers: Sequence[Any], version: bytes) -> TagVersions | Refusal:
    """Return the versions in the answers to `lease_tags_commands`."""
    for answer in answers:
        for verdict in answer[:-1]:
            if verdict:
                return Refusal(verdict.decode())
        if answer[-1].startswith(NO_VERSION):
            return Refusal.PENDING
    generation = answers[0][-1][:VERSION_BYTES]
    joined = b"".join([answer[-1][VERSION_BYTES:] for answer in answers])
    versions = [b"" if one == NO_VERSION else one for one in versions_in(joined)]
    return TagVersions(generation, versions, version[: VERSION_BYTES // 2])


def fill_commands(entries: Sequence[EncodedEntry]) -> list[Command]:
    """Return the calls that store entries, one for a table's: a command for each entry costs the client far more."""
    if len(entries) == 1:
        return [_set_command(entries[0])]
    tables: dict[str, list[EncodedEntry]] = {}
    for one in entries:
        table = one.entry[: one.entry.index("}")]
        found = tables.get(table)
        if found is None:
            found = tables[table] = []
        found.append(one)
    commands = []
    for own in tables.values():
        for start in range(0, len(own), SCRIPT_KEYS):
            part = own[start : start + SCRIPT_KEYS]
            arguments: list[Any] = []
            for one in part:
                arguments += (one.payload, max(1, round(one.ttl * 1000)))
            commands.append(FILL_MANY.command([one.entry for one in part], *arguments))
    return commands


def _set_command(one: EncodedEntry) -> Command:
    return ("SET", one.entry, one.payload, "PX", max(1, round(one.ttl * 1000)))


def route_of(command: Command) -> str:
    """Return the first key of a command, by which it is routed."""
    key: str = command[3] if command[0] == "EVALSHA" else command[1]
    return key
