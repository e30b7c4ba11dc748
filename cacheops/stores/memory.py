"""The store in this process's memory: the embedded form, and the reference for the protocol's rules."""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import WHOLE_TABLE, new_version, versions_in
from cacheops.stores.base import EncodedEntry, MarkedTable, Refusal, Store, TableTags, outdated_among, tags_of
from cacheops.stores.inspection import Inspection
from cacheops.stores.reply import ReadyReply, Reply

MAX_SCHEMES = 64  # as in lua/leasing.lua


@dataclass(slots=True)
class _Registry:
    schemes: set[str] = field(default_factory=set)
    writers: dict[bytes, float] = field(default_factory=dict)  # name -> deadline
    remember: float = 0.0  # seconds for which replaced versions are noted
    replaced: dict[bytes, float] = field(default_factory=dict)  # version -> when a writer marked its tag


@dataclass(slots=True)
class _Value:
    data: bytes
    expires_at: float


class MemoryStore(Store):
    """A bounded dictionary; the least recently used entries are dropped first. Safe for threads."""

    remote = False

    def __init__(
        self, name: str = "memory", max_bytes: int = 64 * 2**20, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.RLock()
        self._values: OrderedDict[str, _Value] = OrderedDict()
        self._bytes = 0
        self._marks: dict[str, dict[bytes, float]] = {}  # tag's key -> writer -> deadline; a marked tag has no value
        self._registries: dict[str, _Registry] = {}
        self.inspection = MemoryInspection(self, clock)

    # --- readers ----------------------------------------------------------------------------------------------------

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        with self._lock:
            return [self._marks_of(key) if key in self._marks else self._get(key) for key in keys]

    def _marks_of(self, key: str) -> bytes:
        """Return the value of a marked tag, in the layout of lua/tag.lua."""
        return b"p" + b"".join(b"%b%016d" % (name, 1000 * deadline) for name, deadline in self._marks[key].items())

    def lease(self, tables: Sequence[TableTags], loader: str, ttl: float, hold: float) -> Reply[bytes | Refusal]:
        with self._lock:
            for table in tables:
                refusal = self._refusal(table)
                if refusal is not None:
                    return ReadyReply(refusal)
            if hold > 0 and not self._take(loader, hold):
                return ReadyReply(Refusal.BUSY)
            return ReadyReply(b"".join(self._leased(table, ttl) for table in tables))

    def _refusal(self, table: TableTags) -> Refusal | None:
        if any(self._pending(key) for key in table.key_list()):
            return Refusal.PENDING
        registry = self._registries.get(table.keys.base) or _Registry()
        fresh = set(table.schemes) - registry.schemes
        if fresh and self._alive(registry.writers):  # R5
            return Refusal.PENDING
        if fresh and len((registry.schemes | fresh) - {WHOLE_TABLE}) > MAX_SCHEMES:
            return Refusal.FULL
        return None

    def _leased(self, table: TableTags, ttl: float) -> bytes:
        registry = self._registry(table.keys)
        registry.schemes.update(table.schemes)
        versions = []
        for key in table.key_list():
            version = self._get(key) or new_version()
            self._set(key, version, max(ttl, self._left(key)))
            versions.append(version)
        return b"".join(versions)

    def fill(self, entries: Sequence[EncodedEntry], loaders: Sequence[str] = ()) -> Reply[int]:
        tags = tags_of(entries)
        with self._lock:
            for one in entries:
                self._set(one.entry, one.payload, one.ttl)
            self._make_room()
            self.delete(loaders)
            return ReadyReply(outdated_among(entries, tags, self.read(tags)))

    def _make_room(self) -> None:
        while self._bytes > self.max_bytes:
            self._drop(next(iter(self._values)))

    def lock(self, loaders: Sequence[str], hold: float) -> list[bool]:
        with self._lock:
            return [self._take(loader, hold) for loader in loaders]

    def _take(self, loader: str, hold: float) -> bool:
        if self._get(loader) is not None:
            return False
        self._set(loader, b"1", hold)
        return True

    # --- writers ----------------------------------------------------------------------------------------------------

    def mark(self, tables: Sequence[MarkedTable], writer: bytes, seconds: float) -> Reply[list[frozenset[str]]]:
        schemes = []
        with self._lock:
            deadline = self._clock() + seconds
            for table in tables:
                registry = self._registry(table.keys)
                registry.writers = self._alive(registry.writers) | {writer: deadline}
                schemes.append(frozenset(registry.schemes))
                self._note_replaced(registry, table)
                for key in table.key_list():
                    self._marks[key] = self._alive(self._marks.get(key, {})) | {writer: deadline}
                    self._drop(key)
        return ReadyReply(schemes)

    def note_outdated(self, keys: TableKeys, seconds: float) -> None:
        with self._lock:
            registry = self._registries.get(keys.base)
            if registry is not None:
                registry.remember = max(registry.remember, seconds)

    def outdated_for(self, tables: Sequence[TableTags], versions: bytes) -> float | None:
        left = iter(versions_in(versions))
        age = 0.0
        with self._lock:
            for table in tables:
                replaced = self._registries.get(table.keys.base, _Registry()).replaced
                tags = table.key_list()
                for key, version in zip(tags, islice(left, len(tags)), strict=True):
                    if self._get(key) == version:
                        continue
                    if version not in replaced:
                        return None
                    age = max(age, self._clock() - replaced[version])
        return age

    def _note_replaced(self, registry: _Registry, table: MarkedTable) -> None:
        if not registry.remember:
            return
        now = self._clock()
        registry.replaced = {
            version: since for version, since in registry.replaced.items() if since >= now - registry.remember
        }
        for key in table.key_list():
            version = self._get(key)
            if version is not None:
                registry.replaced.setdefault(version, now)

    def clear(self, tables: Sequence[MarkedTable], writer: bytes) -> Reply[int]:
        expired = 0
        with self._lock:
            now = self._clock()
            for table in tables:
                self._registry(table.keys).writers.pop(writer, None)
                late = 0
                for key in table.key_list():
                    marks = self._marks.pop(key, {})
                    late += marks.pop(writer, 0.0) <= now
                    if self._alive(marks):
                        self._marks[key] = self._alive(marks)
                    self._drop(key)
                if late:  # readers may have leased under schemes that the writer does not know
                    self._drop(table.keys.generation)
                expired += late
        return ReadyReply(expired)

    def invalidate(self, tables: Sequence[MarkedTable]) -> int:
        with self._lock:
            return sum(self._drop(key) for table in tables for key in table.key_list())

    # --- keys -------------------------------------------------------------------------------------------------------

    def schemes(self, keys: TableKeys) -> frozenset[str]:
        with self._lock:
            registry = self._registries.get(keys.base)
            return frozenset(registry.schemes) if registry else frozenset()

    def scan(self, prefix: str) -> Iterator[list[str]]:
        with self._lock:
            now = self._clock()
            found = [key for key, value in self._values.items() if key.startswith(prefix) and value.expires_at > now]
        yield found

    def delete(self, keys: Sequence[str]) -> int:
        with self._lock:
            return sum(self._drop(key) for key in keys)

    def size_of(self, key: str) -> int:
        with self._lock:
            return len(self._values[key].data) + len(key) if key in self._values else 0

    @property
    def used_bytes(self) -> int:
        return self._bytes

    # --- values -----------------------------------------------------------------------------------------------------

    def _registry(self, keys: TableKeys) -> _Registry:
        """Return a table's registry. A new one knows no schemes, so no entry may outlive the old one (R6)."""
        if keys.base not in self._registries:
            self._registries[keys.base] = _Registry()
            self._drop(keys.generation)
        return self._registries[keys.base]

    def _alive(self, writers: dict[bytes, float]) -> dict[bytes, float]:
        now = self._clock()
        return {writer: deadline for writer, deadline in writers.items() if deadline > now}

    def _pending(self, key: str) -> bool:
        marks = self._marks.get(key)
        if marks is None:
            return False
        if self._alive(marks):
            return True
        del self._marks[key]  # the marks of dead writers are as good as absent
        return False

    def _get(self, key: str) -> bytes | None:
        value = self._values.get(key)
        if value is None:
            return None
        if value.expires_at <= self._clock():
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return value.data

    def _left(self, key: str) -> float:
        value = self._values.get(key)
        return value.expires_at - self._clock() if value else 0.0

    def _set(self, key: str, data: bytes, ttl: float) -> None:
        self._drop(key)
        self._values[key] = _Value(data, self._clock() + ttl)
        self._bytes += len(data) + len(key)

    def _drop(self, key: str) -> bool:
        value = self._values.pop(key, None)
        if value is None:
            return False
        self._bytes -= len(value.data) + len(key)
        return True


class MemoryInspection(Inspection):
    """Counts have a lock of their own. Safe for threads."""

    def __init__(self, store: MemoryStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[float, Counter[str]]] = {}  # key -> when it ends, counts

    def nodes(self) -> list[dict[str, Any]]:
        return [{"server": "memory", "used_memory": self._store.used_bytes, "maxmemory": self._store.max_bytes}]

    def sizes(self, keys: Sequence[str]) -> list[int]:
        return [self._store.size_of(key) for key in keys]

    def add_counts(self, key: str, counts: Mapping[str, int], keep: int, ttl: float) -> Reply[None]:
        with self._lock:
            now = self._clock()
            self._counts = {name: held for name, held in self._counts.items() if held[0] > now}
            held = self._counts.get(key, (0.0, Counter()))[1] + Counter(counts)
            self._counts[key] = (now + ttl, Counter(dict(held.most_common(keep))))
        return ReadyReply(None)

    def top_counts(self, keys: Sequence[str], size: int) -> list[list[tuple[str, float]]]:
        with self._lock:
            now = self._clock()
            held = [self._counts.get(key, (0.0, Counter[str]())) for key in keys]
            return [
                [(name, float(count)) for name, count in counts.most_common(size)] if ends > now else []
                for ends, counts in held
            ]
