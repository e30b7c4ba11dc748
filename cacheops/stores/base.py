"""The contract of a store: one region's servers, or this process's memory.

A store moves bytes and keeps the protocol's tags; it knows nothing of queries, models or Django. Methods raise
StoreUnavailable when there is no answer, CommandRefused when the answer is no.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from heapq import nsmallest
from typing import Any, NamedTuple, Protocol

from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import VERSION_BYTES
from cacheops.stores.inspection import Inspection
from cacheops.stores.near import NearEntries
from cacheops.stores.reply import ReadyReply, Reply

MARK_BYTES = 24  # of one writer's mark in a pending tag, after a first letter: its name, its deadline (lua/tag.lua)


class Refusal(Enum):
    """Why a lease was not given."""

    PENDING = "pending"  # a writer is about to change what the query reads: load from the database, fill nothing
    BUSY = "busy"  # another reader is loading the same entry: wait for it
    FOREIGN = "foreign"  # a key held what the protocol does not write, and was deleted: ask again
    FULL = "full"  # the table has no room for another scheme: depend on the whole table


class TableTags(NamedTuple):
    """One table's share of a query or of a write: names of tags, without the generation, which always counts."""

    keys: TableKeys
    tags: tuple[str, ...]
    schemes: tuple[str, ...] = ()  # of a query, to be registered

    def key_list(self) -> list[str]:
        """Return the keys whose versions count: the generation's, then the tags'."""
        keys = self.keys
        start = keys.base + "t:"
        return [keys.generation, *[start + name for name in self.tags]]


@dataclass(frozen=True, slots=True)
class MarkedTable:
    """A writer's marks in one table: tags, and with `whole` the generation, on which every entry depends.

    A writer of many rows `closes` the table instead: its tags are deleted, and none that is absent is leased meanwhile.
    """

    keys: TableKeys
    tags: frozenset[str]
    whole: bool = False
    closes: bool = False

    def key_list(self) -> list[str]:
        start = self.keys.base + "t:"
        return ([self.keys.generation] if self.whole else []) + [start + name for name in self.tags]

    def standing(self) -> list[str]:
        """Return the keys under which a mark stands until it is cleared: none in a closed table."""
        return [] if self.closes else self.key_list()

    def joined(self, other: "MarkedTable") -> "MarkedTable":
        """Return the marks of both, of one writer and table."""
        return replace(self, tags=self.tags | other.tags, whole=self.whole or other.whole)


class LeaseRequest(NamedTuple):
    """One of many entries to be leased at once: its key, and the tags that it depends on."""

    entry: str
    tables: tuple[TableTags, ...]


class TagVersions(NamedTuple):
    """The leased versions of a table's generation and of tags; b"" for one that a writer is about to change."""

    generation: bytes
    versions: list[bytes]
    new: bytes = b""  # how the versions begin that were made now: no entry can have been filled under them

    def is_new(self, version: bytes) -> bool:
        return bool(self.new) and version.startswith(self.new)


class EncodedEntry(NamedTuple):
    """An entry to be stored; `ttl` in seconds. `tags` are the keys that it depends on, with the versions leased."""

    entry: str
    payload: bytes
    ttl: float
    tags: Sequence[str] = ()
    versions: bytes = b""

    def is_outdated(self, now: Mapping[str, bytes | None]) -> bool:
        """Return whether a tag has another version by now: no reader will accept this entry."""
        return bool(self.tags) and b"".join([now[tag] or b"" for tag in self.tags]) != self.versions


def tags_of(entries: Sequence[EncodedEntry]) -> list[str]:
    """Return the keys of all tags that entries depend on, each once."""
    return list({tag: None for one in entries for tag in one.tags})


def outdated_among(entries: Sequence[EncodedEntry], tags: Sequence[str], values: Sequence[bytes | None]) -> int:
    """Return how many entries are outdated, by the values of `tags_of` them now."""
    now = dict(zip(tags, values, strict=True))
    return sum(one.is_outdated(now) for one in entries)


def marks_in(value: bytes | None) -> int:
    """Return how many writers' marks a tag's value holds, those included whose time is up."""
    return len(value) // MARK_BYTES if value and len(value) != VERSION_BYTES else 0


class CommandTransport(Protocol):
    """Connections of each thread's own to Redis servers. Commands are tuples; a route is a key of a command's slot."""

    def run_many(self, commands: Sequence[tuple[Any, ...]], routes: Sequence[Any] | None = None) -> list[Any]:
        """Return the answers to commands, sent in one round trip a server."""

    def close(self) -> None:
        """Close this thread's connections."""


class Store(ABC):
    """One region's entries, tags and registries.

    What returns a Reply is sent at once, and costs a round trip only where its result is waited for.
    """

    name: str
    remote = True  # other processes share it, and it may be away
    addresses: tuple[str, ...] = ()  # of the servers that it is on: what is on the same ones shares a circuit
    wait_replicas = 0  # how many replicas must hold a mark before it counts
    epoch = 0  # changes when this thread has connected anew: another server may be the primary now
    inspection: Inspection
    near: NearEntries | None = None  # of this process, for the level near; None: each read asks the store

    # --- readers ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of an entry's key and its tags' keys, in one round trip where they lie in one slot.

        A tag that writers have marked has none, or a value that `marks_in` counts them in.
        """

    @abstractmethod
    def lease(self, tables: Sequence[TableTags], loader: str, ttl: float, hold: float) -> Reply[bytes | Refusal]:
        """Lease the versions of the tables' tags, joined in the order of `key_list`; create what is absent.

        Registers the schemes. `loader` is the key of the entry's lock in the first table's slot; it is taken for
        `hold` seconds (0: it is not taken). Tags live for `ttl` seconds at least.
        """

    def lease_many(
        self, requests: Sequence[LeaseRequest], ttl: float
    ) -> Reply[list[tuple[bytes | Refusal, bytes | None]]]:
        """Lease for each entry what `lease` does, and read the bytes that are stored now. No lock is taken."""
        return ReadyReply(
            [(self.lease(one.tables, "", ttl, 0.0).result(), self.read([one.entry])[0]) for one in requests]
        )

    def lease_tags(
        self, keys: TableKeys, tags: Sequence[str], schemes: Sequence[str], ttl: float
    ) -> Reply[TagVersions | Refusal]:
        """Lease tags of one table, by their keys, for entries that depend on one of them each: at least one."""
        generation = self.lease([TableTags(keys, (), tuple(schemes))], "", ttl, 0.0).result()
        if isinstance(generation, Refusal):
            return ReadyReply(generation)
        start = len(keys.tag(""))
        leased = [self.lease([TableTags(keys, (tag[start:],))], "", ttl, 0.0).result() for tag in tags]
        versions = [b"" if isinstance(one, Refusal) else one[len(generation) :] for one in leased]
        return ReadyReply(TagVersions(generation, versions))

    @abstractmethod
    def fill(self, entries: Sequence[EncodedEntry], loaders: Sequence[str] = ()) -> Reply[int]:
        """Store entries, if any, then let these locks go; return how many were outdated when they were stored.

        Only entries that name their tags are counted. Where one is refused, others may be stored all the same.
        """

    @abstractmethod
    def lock(self, loaders: Sequence[str], hold: float) -> list[bool]:
        """Take the locks of entries for `hold` seconds, without a lease; return of each whether it was free."""

    @abstractmethod
    def note_outdated(self, keys: TableKeys, seconds: float) -> None:
        """Remember for how long a table's entries have been outdated, for so many seconds."""

    @abstractmethod
    def outdated_for(self, tables: Sequence[TableTags], versions: bytes) -> float | None:
        """Return for how many seconds an entry with these versions has been outdated, None where it is not known.

        `versions` are joined as `lease` joins them. 0: the entry is valid.
        """

    # --- writers ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def mark(self, tables: Sequence[MarkedTable], writer: bytes, seconds: float) -> Reply[list[frozenset[str]]]:
        """Announce a writer and mark tags for `seconds`; return the schemes of each table.

        The result comes when the marks are on `wait_replicas` replicas.
        """

    @abstractmethod
    def clear(self, tables: Sequence[MarkedTable], writer: bytes) -> Reply[int]:
        """Take a writer's marks off; return how many of them had run out.

        This thread's later reads see them gone. A clear that is lost leaves marks until their deadline, and their
        tags' readers go to the database; so one that failed is sent again before `on_result` reports it.
        """

    @abstractmethod
    def invalidate(self, tables: Sequence[MarkedTable]) -> int:
        """Make every entry that depends on these tags a miss, and spare marks; return how many tags were there."""

    def replicated(self) -> bool:
        """Return whether the replicas hold all that was written before, by whomever."""
        return not self.wait_replicas or self.confirmations() >= self.wait_replicas

    def confirmations(self) -> int:
        """Return how many replicas of each primary hold all that was written before, by whomever: the fewest of any."""
        return 0

    # --- keys ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def schemes(self, keys: TableKeys) -> frozenset[str]:
        """Return the schemes in a table's registry."""

    @abstractmethod
    def scan(self, prefix: str) -> Iterator[list[str]]:
        """Yield the keys that begin with `prefix`, in batches."""

    def scan_page(self, prefix: str, cursor: str, size: int) -> tuple[list[str], str]:
        """Return about `size` keys that begin with `prefix`, and the cursor of the next page; "" begins, and ends.

        A page may hold fewer, or none, before the end: a look is bounded, too. Keys that come and go may be left out.
        """
        later = (key for batch in self.scan(prefix) for key in batch if key > cursor)
        keys = nsmallest(size, later)
        return keys, keys[-1] if len(keys) == size else ""

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> int:
        """Delete keys; return how many there were."""

    # --- servers, where a store is on some ----------------------------------------------------------------------------

    def transport(self, scripts: Sequence[str]) -> CommandTransport | None:
        """Return connections to the store's Redis servers for what else is kept there; None where it is on none.

        `scripts` are the Lua sources that its commands call.
        """
        return None

    def note_replicas(self) -> int:
        """Name linked replicas to their primaries (R23); return how many are new."""
        return 0

    def close(self) -> None:  # noqa: B027 - a store in memory holds nothing open
        """Close what this thread holds open: the store is not used again."""
