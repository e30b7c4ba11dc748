"""A store in one SQLite file, which processes of one machine share: what a project could bring along."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from cacheops.exceptions import StoreUnavailable
from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import WHOLE_TABLE, new_version, versions_in
from cacheops.stores.base import EncodedEntry, MarkedTable, Refusal, Store, TableTags, outdated_among, tags_of
from cacheops.stores.memory import MAX_SCHEMES, MemoryInspection
from cacheops.stores.reply import ReadyReply, Reply

SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, data BLOB NOT NULL, ends REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mark (key TEXT, writer BLOB, ends REAL NOT NULL, PRIMARY KEY (key, writer)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS registry (base TEXT PRIMARY KEY, remember REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scheme (base TEXT, name TEXT, PRIMARY KEY (base, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writer (base TEXT, name BLOB, ends REAL NOT NULL, PRIMARY KEY (base, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replaced (version BLOB PRIMARY KEY, base TEXT, since REAL NOT NULL) WITHOUT ROWID;
"""


class FileStore(Store):
    """Each method is one transaction, so each is one step for all processes. Safe for threads."""

    max_bytes = 0  # no limit

    def __init__(self, alias: str, config: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self.name = alias
        self._path = config["LOCATION"]
        self._clock = clock
        self._own = threading.local()
        self.inspection = MemoryInspection(self, clock)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            db = getattr(self._own, "db", None)
            if db is None:
                db = self._own.db = sqlite3.connect(self._path, timeout=5, isolation_level=None)
                db.executescript(SCHEMA)
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    def close(self) -> None:
        db = getattr(self._own, "db", None)
        if db is not None:
            db.close()
            del self._own.db

    # --- readers ------------------------------------------------------------------------------------------------------

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        with self._transaction() as db:
            return [self._marks(db, key) or self._get(db, key) for key in keys]

    def _marks(self, db: sqlite3.Connection, key: str) -> bytes:
        marks = db.execute("SELECT writer, ends FROM mark WHERE key = ?", (key,)).fetchall()
        return b"p" + b"".join(b"%b%016d" % (writer, 1000 * ends) for writer, ends in marks) if marks else b""

    def lease(self, tables: Sequence[TableTags], loader: str, ttl: float, hold: float) -> Reply[bytes | Refusal]:
        with self._transaction() as db:
            for table in tables:
                refusal = self._refusal(db, table)
                if refusal is not None:
                    return ReadyReply(refusal)
            if hold > 0 and not self._take(db, loader, hold):
                return ReadyReply(Refusal.BUSY)
            return ReadyReply(b"".join(self._leased(db, table, ttl) for table in tables))

    def _refusal(self, db: sqlite3.Connection, table: TableTags) -> Refusal | None:
        now, base = self._clock(), table.keys.base
        for key in table.key_list():
            db.execute("DELETE FROM mark WHERE key = ? AND ends <= ?", (key, now))
            if self._marks(db, key):
                return Refusal.PENDING
        known = self._schemes(db, base)
        fresh = set(table.schemes) - known
        if fresh and db.execute("SELECT 1 FROM writer WHERE base = ? AND ends > ?", (base, now)).fetchone():  # R5
            return Refusal.PENDING
        return Refusal.FULL if fresh and len((known | fresh) - {WHOLE_TABLE}) > MAX_SCHEMES else None

    def _leased(self, db: sqlite3.Connection, table: TableTags, ttl: float) -> bytes:
        self._register(db, table.keys)
        for name in table.schemes:  # R4
            db.execute("INSERT OR IGNORE INTO scheme VALUES (?, ?)", (table.keys.base, name))
        versions = []
        for key in table.key_list():
            version = self._get(db, key) or new_version()  # R3
            self._set(db, key, version, ttl)
            versions.append(version)
        return b"".join(versions)

    def fill(self, entries: Sequence[EncodedEntry], loaders: Sequence[str] = ()) -> Reply[int]:
        tags = tags_of(entries)
        with self._transaction() as db:
            for one in entries:
                db.execute("DELETE FROM entry WHERE key = ?", (one.entry,))
                self._set(db, one.entry, one.payload, one.ttl)
            for loader in loaders:
                self._drop(db, loader)
            values = [self._marks(db, key) or self._get(db, key) for key in tags]
        return ReadyReply(outdated_among(entries, tags, values))

    def lock(self, loaders: Sequence[str], hold: float) -> list[bool]:
        with self._transaction() as db:
            return [self._take(db, loader, hold) for loader in loaders]

    def _take(self, db: sqlite3.Connection, loader: str, hold: float) -> bool:
        if self._get(db, loader) is not None:
            return False
        self._set(db, loader, b"1", hold)
        return True

    def note_outdated(self, keys: TableKeys, seconds: float) -> None:
        with self._transaction() as db:
            db.execute("UPDATE registry SET remember = max(remember, ?) WHERE base = ?", (seconds, keys.base))

    def outdated_for(self, tables: Sequence[TableTags], versions: bytes) -> float | None:
        left, age = iter(versions_in(versions)), 0.0
        with self._transaction() as db:
            for table in tables:
                tags = table.key_list()
                for key, version in zip(tags, islice(left, len(tags)), strict=True):
                    if self._get(db, key) == version:
                        continue
                    found = db.execute("SELECT since FROM replaced WHERE version = ?", (version,)).fetchone()
                    if found is None:
                        return None
                    age = max(age, self._clock() - found[0])
        return age

    # --- writers ------------------------------------------------------------------------------------------------------

    def mark(self, tables: Sequence[MarkedTable], writer: bytes, seconds: float) -> Reply[list[frozenset[str]]]:
        schemes = []
        with self._transaction() as db:
            now = self._clock()
            ends = now + seconds
            for table in tables:
                self._register(db, table.keys)
                db.execute("DELETE FROM writer WHERE base = ? AND ends <= ?", (table.keys.base, now))
                db.execute("INSERT OR REPLACE INTO writer VALUES (?, ?, ?)", (table.keys.base, writer, ends))
                schemes.append(self._schemes(db, table.keys.base))  # R7
                self._note_replaced(db, table)
                for key in table.key_list():
                    db.execute("DELETE FROM mark WHERE key = ? AND ends <= ?", (key, now))
                    db.execute("INSERT OR REPLACE INTO mark VALUES (?, ?, ?)", (key, writer, ends))
                    self._drop(db, key)
        return ReadyReply(schemes)

    def _note_replaced(self, db: sqlite3.Connection, table: MarkedTable) -> None:
        base, now = table.keys.base, self._clock()
        (remember,) = db.execute("SELECT remember FROM registry WHERE base = ?", (base,)).fetchone()
        db.execute("DELETE FROM replaced WHERE base = ? AND since < ?", (base, now - remember))
        for key in table.key_list() if remember else ():
            version = self._get(db, key)
            if version is not None:
                db.execute("INSERT OR IGNORE INTO replaced VALUES (?, ?, ?)", (version, base, now))

    def clear(self, tables: Sequence[MarkedTable], writer: bytes) -> Reply[int]:
        expired = 0
        with self._transaction() as db:
            now = self._clock()
            for table in tables:
                db.execute("DELETE FROM writer WHERE base = ? AND name = ?", (table.keys.base, writer))
                late = 0
                for key in table.key_list():
                    own = (key, writer)
                    found = db.execute("SELECT ends FROM mark WHERE key = ? AND writer = ?", own).fetchone()
                    late += found is None or found[0] <= now
                    db.execute("DELETE FROM mark WHERE key = ? AND (writer = ? OR ends <= ?)", (*own, now))  # R11
                    self._drop(db, key)
                if late:  # readers may have leased under schemes that the writer does not know
                    self._drop(db, table.keys.generation)
                expired += late
        return ReadyReply(expired)

    def invalidate(self, tables: Sequence[MarkedTable]) -> int:
        with self._transaction() as db:
            return sum(self._drop(db, key) for table in tables for key in table.key_list())

    # --- keys ---------------------------------------------------------------------------------------------------------

    def schemes(self, keys: TableKeys) -> frozenset[str]:
        with self._transaction() as db:
            return self._schemes(db, keys.base)

    def scan(self, prefix: str) -> Iterator[list[str]]:
        with self._transaction() as db:
            rows = db.execute(
                "SELECT key FROM entry WHERE substr(key, 1, ?) = ? AND ends > ?", (len(prefix), prefix, self._clock())
            ).fetchall()
        yield [key for (key,) in rows]

    def delete(self, keys: Sequence[str]) -> int:
        with self._transaction() as db:
            return sum(self._drop(db, key) for key in keys)

    def size_of(self, key: str) -> int:
        value = self.read([key])[0]
        return len(value) + len(key) if value else 0

    @property
    def used_bytes(self) -> int:
        with self._transaction() as db:
            return int(db.execute("SELECT coalesce(sum(length(data) + length(key)), 0) FROM entry").fetchone()[0])

    def _schemes(self, db: sqlite3.Connection, base: str) -> frozenset[str]:
        return frozenset(name for (name,) in db.execute("SELECT name FROM scheme WHERE base = ?", (base,)))

    def _register(self, db: sqlite3.Connection, keys: TableKeys) -> None:
        """Make a table's registry. A new one knows no schemes, so no entry may outlive the old one (R6)."""
        if db.execute("INSERT OR IGNORE INTO registry (base) VALUES (?)", (keys.base,)).rowcount:
            self._drop(db, keys.generation)

    def _get(self, db: sqlite3.Connection, key: str) -> bytes | None:
        row = db.execute("SELECT data FROM entry WHERE key = ? AND ends > ?", (key, self._clock())).fetchone()
        return row[0] if row else None

    def _set(self, db: sqlite3.Connection, key: str, data: bytes, ttl: float) -> None:
        db.execute(
            "INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET data = excluded.data, "
            "ends = CASE WHEN data = excluded.data THEN max(ends, excluded.ends) ELSE excluded.ends END",
            (key, data, self._clock() + ttl),
        )

    def _drop(self, db: sqlite3.Connection, key: str) -> bool:
        return bool(db.execute("DELETE FROM entry WHERE key = ?", (key,)).rowcount)
