"""Parts of the contract's tests: tables of their own, queries, writers."""

import os
import uuid
from collections.abc import Callable

from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import VERSION_BYTES
from cacheops.stores.base import EncodedEntry, MarkedTable, Refusal, Store, TableTags

PassTime = Callable[[float], None]
TTL = 30.0  # seconds; longer than any of these tests
BRIEF = 0.05  # seconds; of what these tests see end


class Reader:
    """A query of one or several tables, and its entry."""

    def __init__(self, store: Store, *tables: TableTags, digest: str = "entry") -> None:
        self.store, self.tables = store, tables
        self.entry, self.loader = tables[0].keys.entry(digest), tables[0].keys.loader(digest)

    def lease(self, hold: float = 0.0, ttl: float = TTL) -> bytes | Refusal:
        return self.store.lease(self.tables, self.loader, ttl, hold).result()

    def fill(self, ttl: float = TTL) -> None:
        versions = self.lease()
        assert isinstance(versions, bytes), versions
        self.store.fill([self.encoded(versions, ttl)]).result()

    def encoded(self, versions: bytes, ttl: float = TTL) -> EncodedEntry:
        """Return an entry whose payload is the versions that it was leased under."""
        return EncodedEntry(self.entry, versions, ttl, self.tags(), versions)

    def tags(self) -> list[str]:
        return [key for table in self.tables for key in table.key_list()]

    def values(self) -> list[bytes | None]:
        return self.store.read([self.entry, *self.tags()])

    def hits(self) -> bool:
        entry, *tags = self.values()
        return entry is not None and None not in tags and entry == b"".join(tag for tag in tags if tag)


def new_table() -> TableKeys:
    return TableKeys.of("co", "contract", f"table_{uuid.uuid4().hex[:12]}")


def query(keys: TableKeys, *tags: str) -> TableTags:
    """Return the dependency on tags such as "a=1", whose schemes are their columns."""
    return TableTags(keys, tags, tuple(sorted({tag.partition("=")[0] for tag in tags})))


def write(keys: TableKeys, *tags: str, whole: bool = False, closes: bool = False) -> MarkedTable:
    return MarkedTable(keys, frozenset(tags), whole, closes)


def new_writer() -> bytes:
    return os.urandom(VERSION_BYTES)
