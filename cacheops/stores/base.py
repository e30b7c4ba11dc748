"""What the engine asks of a store: one region's servers, or this process's memory.

A store moves bytes and keeps the protocol's tags; it knows nothing of queries, models or Django. Methods raise
StoreUnavailable when there is no answer, CommandRefused when the answer is no.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple, TypeAlias, TypeVar

from cacheops.exceptions import StoreError
from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import VERSION_BYTES

T = TypeVar("T")
Told: TypeAlias = Callable[[T | StoreError], None]  # hears an answer, or why there is none


MARK_BYTES = 24  # of one writer's mark in a pending tag, after a first letter: its name, its deadline (lua/mark.lua)


class Refusal(Enum):
    """Why a lease was not given."""

    PENDING = "pending"  # a writer is about to change what the query reads: load from the database, fill nothing
    BUSY = "busy"  # another reader is loading the same entry: wait for it
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
    """What a writer marks in one table: tags, and with `whole` the generation, on which every entry depends.

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


class Wanted(NamedTuple):
    """One of many entries to be leased at once: its key, and what it depends on."""

    entry: str
    tables: tuple[TableTags, ...]


class TagVersions(NamedTuple):
    """The leased versions of a table's generation and of tags; b"" for one that a writer is about to change."""

    generation: bytes
    versions: list[bytes]
    new: bytes = b""  # how the versions begin that were made now: no entry can have been filled under them

    def is_new(self, version: bytes) -> bool:
        return bool(self.new) and version.startswith(self.new)


class Sealed(NamedTuple):
    """An entry to be stored; `ttl` in seconds. `tags` are the keys that it depends on, with the versions leased."""

    entry: str
    payload: bytes
    ttl: float
    tags: Sequence[str] = ()
    versions: bytes = b""

    def is_outdated(self, now: Mapping[str, bytes | None]) -> bool:
        """Say whether a tag has another version by now: nobody will read this entry."""
        return bool(self.tags) and b"".join([now[tag] or b"" for tag in self.tags]) != self.versions


def tags_of(sealed: Sequence[Sealed]) -> list[str]:
    """Return the keys of all tags that entries depend on, each once."""
    return list({tag: None for one in sealed for tag in one.tags})


def outdated_among(sealed: Sequence[Sealed], tags: Sequence[str], values: Sequence[bytes | None]) -> int:
    """Return how many entries are outdated by what `tags_of` them hold now."""
    now = dict(zip(tags, values, strict=True))
    return sum(one.is_outdated(now) for one in sealed)


class Store(ABC):
    """One region's entries, tags and registries."""

    name: str
    remote = True  # other processes share it, and it may be away
    epoch = 0  # changes when this thread has connected anew: another server may be the primary now

    @abstractmethod
    def schemes(self, keys: TableKeys) -> frozenset[str]:
        """Return the schemes in a table's registry."""

    @abstractmethod
    def replicated(self) -> bool:
        """Say whether the replicas hold all that this thread has written."""

    @abstractmethod
    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of an entry's key and its tags' keys, in one round trip where they lie in one slot."""

    def writers(self, tags: Sequence[str]) -> list[int]:
        """Return by how many writers each tag's key is marked, those included whose time is up."""
        return [len(value) // MARK_BYTES if value and len(value) != VERSION_BYTES else 0 for value in self.read(tags)]

    @abstractmethod
    def lease(self, tables: Sequence[TableTags], loader: str, ttl: float, hold: float) -> bytes | Refusal:
        """Return the versions of the tables' tags, joined in the order of `key_list`, creating what is absent.

        Registers the schemes. `loader` is the key of the entry's lock in the first table's slot; it is taken for
        `hold` seconds (0: it is not taken). Tags live for `ttl` seconds at least.
        """

    def lease_begin(
        self, tables: Sequence[TableTags], loader: str, ttl: float, hold: float
    ) -> "Callable[[], bytes | Refusal]":
        """Ask for a lease; the call returned waits for the answer. What is asked meanwhile takes no round trip more."""
        return lambda: self.lease(tables, loader, ttl, hold)

    @abstractmethod
    def release(self, loader: str) -> None:
        """Let an entry's lock go without filling it."""

    @abstractmethod
    def note_outdated(self, keys: TableKeys, seconds: float) -> None:
        """Remember for how long a table's entries have been outdated, for so many seconds."""

    @abstractmethod
    def outdated_for(self, tables: Sequence[TableTags], versions: bytes) -> float | None:
        """Return for how many seconds an entry with these versions has been outdated, None where it is not known.

        `versions` are joined as `lease` joins them. 0: the entry is valid.
        """

    @abstractmethod
    def mark_begin(
        self, tables: Sequence[MarkedTable], writer: bytes, seconds: float
    ) -> Callable[[], list[frozenset[str]]]:
        """Announce a writer and mark tags; the call returned waits for the answer: the schemes of each table.

        The answer comes when the marks are on as many replicas as the store was told to wait for.
        """

    @abstractmethod
    def clear_begin(self, tables: Sequence[MarkedTable], writer: bytes) -> Callable[[], int]:
        """Take a writer's marks off; the call returned waits for the answer: how many of them had run out."""

    @abstractmethod
    def invalidate(self, tables: Sequence[MarkedTable]) -> int:
        """Make every entry that depends on these tags a miss; return how many tags were there."""

    @abstractmethod
    def scan(self, prefix: str) -> Iterator[list[str]]:
        """Yield the keys that begin with `prefix`, in batches."""

    @abstractmethod
    def sizes(self, keys: Sequence[str]) -> list[int]:
        """Return the bytes of memory that each key takes, 0 where there is none."""

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> int:
        """Delete keys; return how many there were."""

    @abstractmethod
    def info(self) -> list[dict[str, Any]]:
        """Return what each node tells of itself, under Redis's names; an `error` where it tells nothing."""

    def close(self) -> None:  # noqa: B027 - a store in memory holds nothing open
        """Close what this thread holds open: the store is not used again."""

    def lock_many(self, loaders: Sequence[str], hold: float) -> list[bool]:
        """Take the locks of several entries for `hold` seconds; say of each whether it was free."""
        return [self.lock(loader, hold) for loader in loaders]

    @abstractmethod
    def lock(self, loader: str, hold: float) -> bool:
        """Take an entry's lock for `hold` seconds, without a lease; say whether it was free."""

    def release_many(self, loaders: Sequence[str]) -> None:
        """Let the locks of several entries go."""
        for loader in loaders:
            self.release(loader)

    def fill_soon(self, sealed: Sequence[Sealed], loaders: Sequence[str], told: "Told[int]") -> None:
        """Store entries of one table and let their locks go, without waiting for the answer.

        `told` hears, at once or at a later call, how many were outdated when they were stored; or the error.
        """
        tags = tags_of(sealed)
        try:
            self.fill_many(sealed)
            self.release_many(loaders)
            now = self.read(tags) if tags else []
        except StoreError as error:
            told(error)
        else:
            told(outdated_among(sealed, tags, now))

    def clear_soon(self, tables: Sequence[MarkedTable], writer: bytes, told: "Told[int]") -> None:
        """Clear without waiting for the answer: `told` hears how many marks had run out, or of the error.

        This thread's later reads see the marks gone. A clear that is lost leaves marks until their deadline, and
        their tags' readers go to the database.
        """
        try:
            told(self.clear(tables, writer))
        except StoreError as error:
            told(error)

    def lease_many(self, wanted: Sequence[Wanted], ttl: float) -> list[tuple[bytes | Refusal, bytes | None]]:
        """Return for each entry what `lease` returns, and the bytes that are stored now. No loader's lock is taken."""
        return [(self.lease(one.tables, "", ttl, 0.0), self.read([one.entry])[0]) for one in wanted]

    def lease_many_begin(
        self, wanted: Sequence[Wanted], ttl: float
    ) -> Callable[[], list[tuple[bytes | Refusal, bytes | None]]]:
        """Ask for many leases; the call returned waits for the answer. Others may be asked meanwhile."""
        return lambda: self.lease_many(wanted, ttl)

    def lease_tags(
        self, keys: TableKeys, tags: Sequence[str], schemes: Sequence[str], ttl: float
    ) -> TagVersions | Refusal:
        """Lease tags of one table, by their keys, for entries that depend on one of them each: at least one."""
        generation = self.lease([TableTags(keys, (), tuple(schemes))], "", ttl, 0.0)
        if isinstance(generation, Refusal):
            return generation
        start = len(keys.tag(""))
        leased = [self.lease([TableTags(keys, (tag[start:],))], "", ttl, 0.0) for tag in tags]
        return TagVersions(generation, [b"" if isinstance(one, Refusal) else one[len(generation) :] for one in leased])

    @abstractmethod
    def fill_many(self, sealed: Sequence[Sealed]) -> None:
        """Store entries, one round trip a server. Where a server refuses one, others may be stored all the same."""

    def fill_many_begin(self, sealed: Sequence[Sealed]) -> Callable[[], None]:
        """Send entries to be stored; the call returned waits for the answer."""
        return lambda: self.fill_many(sealed)

    @abstractmethod
    def note_use(self, key: str, counts: Mapping[str, int], most: int, ttl: float) -> None:
        """Add to the counts under a key, of which the `most` highest are kept, for `ttl` seconds. Nobody waits."""

    @abstractmethod
    def used(self, keys: Sequence[str], most: int) -> list[list[tuple[str, float]]]:
        """Return the names with the `most` highest counts under each key, highest first."""

    def mark(self, tables: Sequence[MarkedTable], writer: bytes, seconds: float) -> list[frozenset[str]]:
        return self.mark_begin(tables, writer, seconds)()

    def clear(self, tables: Sequence[MarkedTable], writer: bytes) -> int:
        return self.clear_begin(tables, writer)()
