"""Entries in a process, kept right by what the region's servers tell of changes (rules R31 to R34).

A process' own version of a tag is an object, `Tag`: entries that depend on it hold it, and a change makes it outdated,
however many they are. Whoever looks an entry up in the region takes the tags before; so a change that is told while the
answer is on its way leaves an entry that is never found.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary, ref

from cacheops.encoding.rows import Entry
from cacheops.exceptions import InvalidOption
from cacheops.protocol.keys import GENERATION


class Channel(Protocol):
    """Tells which keys of some prefixes were changed; None where this is not known. `redis/push_channel.py` is one."""

    confirmed: float  # monotonic: all that was changed before has been told

    def hears(self, prefix: str, key: str) -> bool:
        """Return whether changes of keys with this prefix are told, by the server of `key`; if not, they soon are."""

    def close(self) -> None:
        """Tell nothing any more."""


Connect = Callable[[Callable[[Iterable[bytes] | None], None]], Channel]


class Tag:
    """What a process knows of a tag, for as long as an entry depends on it."""

    __slots__ = ("__weakref__", "is_outdated")

    def __init__(self) -> None:
        self.is_outdated = False


class NearEntry(NamedTuple):
    entry: Entry
    tags: tuple[Tag, ...]
    size: int  # bytes, as the region has them


class _Memory:
    """What is held until the servers' changes are not told for a while."""

    def __init__(self) -> None:
        self.entries: OrderedDict[str, NearEntry] = OrderedDict()  # the least recently used first
        self.tags: WeakValueDictionary[str, Tag] = WeakValueDictionary()
        self.bytes = 0


class Watch(NamedTuple):
    """The tags of an entry that is being looked up."""

    memory: _Memory
    tags: tuple[Tag, ...]


class NearEntries:
    """The entries of one region that this process holds, up to `max_bytes`. Threads share them, forks do not."""

    def __init__(self, connect: Connect, max_bytes: int) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 0:
            raise InvalidOption(f"NEAR_BYTES is {max_bytes!r}: use a whole number of bytes, 0 to hold none.")
        self._connect = connect
        self._max_bytes = max_bytes
        self._begin()
        os.register_at_fork(after_in_child=partial(_begin_in_child, ref(self)))

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._memory = _Memory()
        self._channel = self._connect(self._changed)

    def find(self, key: str, seconds: float) -> Entry | None:
        """Return the entry under a key, if it was valid in the region `seconds` ago or later."""
        memory = self._memory
        if time.monotonic() - self._channel.confirmed > seconds:  # R32
            return None
        held = memory.entries.get(key)
        if held is None:
            return None
        for tag in held.tags:
            if tag.is_outdated:
                return None
        with suppress(KeyError):  # another thread needed the room
            memory.entries.move_to_end(key)
        return held.entry

    def watch(self, tables: Sequence[Sequence[str]]) -> Watch | None:
        """Return the tags of an entry, to be taken before it is looked up (R31); None where changes are not told yet.

        `tables` are the tags' keys, the generation first. Raise StoreError.
        """
        memory = self._memory  # before the channel is asked: once it has forgotten, there is another
        for generation, *_ in tables:
            if not self._channel.hears(generation.removesuffix(GENERATION), generation):
                return None
        with self._lock:
            found = [memory.tags.setdefault(key, Tag()) for keys in tables for key in keys]
        return Watch(memory, tuple(found))

    def keep(self, watch: Watch, key: str, entry: Entry, size: int) -> None:
        """Hold an entry that was valid when it was looked up under a watch."""
        if size > self._max_bytes:
            return
        with self._lock:
            memory = watch.memory
            if memory is not self._memory:
                return
            self._drop(memory, key)
            memory.entries[key] = NearEntry(entry, watch.tags, size)
            memory.bytes += size
            while memory.bytes > self._max_bytes:
                self._drop(memory, next(iter(memory.entries)))

    def drop(self, keys: Iterable[str]) -> None:
        """Outdate the entries that depend on these tags: this process has changed them itself (R33)."""
        tags = self._memory.tags
        if tags:
            with self._lock:
                _outdate(tags, keys)

    def _changed(self, keys: Iterable[bytes] | None) -> None:
        with self._lock:
            if keys is None:
                self._memory = _Memory()
            else:
                _outdate(self._memory.tags, [key.decode() for key in keys])

    def _drop(self, memory: _Memory, key: str) -> None:
        held = memory.entries.pop(key, None)
        if held is not None:
            memory.bytes -= held.size

    def close(self) -> None:
        """Hear and hold nothing any more."""
        self._channel.close()
        self._memory = _Memory()


def _outdate(tags: WeakValueDictionary[str, Tag], keys: Iterable[str]) -> None:
    for key in keys:
        tag = tags.pop(key, None)
        if tag is not None:
            tag.is_outdated = True


def _begin_in_child(held: "ref[NearEntries]") -> None:
    """Forget what a fork's parent holds: its changes are told to the parent."""
    entries = held()
    if entries is not None:
        entries._begin()
