"""What a block of code reads of the cache, noted as it reads: see cacheops/reading/record.py."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from cacheops.conf import conf
from cacheops.encoding.rows import Entry, Row, encode_rows
from cacheops.instrumentation.counters import Use, is_sampled
from cacheops.reading.request import Request
from cacheops.stores.base import TableTags

MAX_EARLY = 37  # -log(2**-53), rounded up: 1 - random.random() is never smaller


def may_be_early_from(entry: Entry) -> float:
    """Return the moment (seconds since 1970) before which no reader loads a valid entry anew."""
    return entry.expires_at - entry.load_seconds * conf.early_refresh * MAX_EARLY


def as_bytes(rows: Sequence[Row]) -> bytes:
    """Return rows as bytes that no other rows have: 1, 1.0 and True are equal as values."""
    encoded = encode_rows(rows)
    return encoded.types + b"\0" + encoded.raw


class Notes:
    """Valid entries with the bytes of all that they depend on, and of what else was read of the region."""

    def __init__(self) -> None:
        self.values: dict[str, bytes | None] = {}  # by key
        self.tables: dict[str, TableTags] = {}  # by a table's keys: one of those that were read
        self.near: list[tuple[Request, bytes]] = []  # answered by the level near, and with what
        self.databases: set[str] = set()
        self.hits: Counter[str] = Counter()  # by label
        self.uses: list[Use] = []
        self.until = float("inf")
        self.is_consistent = True

    def entry(self, request: Request, keys: Sequence[str], values: Sequence[bytes | None], entry: Entry) -> None:
        """Note a valid entry that was looked up in the region, and the values of its `key_list`."""
        self.held(keys, values)
        self._read(request)
        self.hits[request.label] += 1
        if is_sampled(request.digest):
            self.uses.append(Use(request.label, request.digest, entry.made_at))
        self.until = min(self.until, may_be_early_from(entry))

    def near_entry(self, request: Request, rows: Sequence[Row]) -> None:
        """Note the rows of an entry that this process holds itself."""
        self._read(request)
        self.near.append((request, as_bytes(rows)))

    def held(self, keys: Iterable[str], values: Iterable[bytes | None]) -> None:
        """Note what the region holds under keys, of entries or of others."""
        noted = self.values
        for key, value in zip(keys, values, strict=True):
            if noted.setdefault(key, value) != value:  # another process has written between two reads
                self.is_consistent = False

    def group(self) -> None:
        """Have the keys of one table stand together: one MGET a table asks for them all."""
        by_table: dict[str, dict[str, bytes | None]] = {}
        for key, value in self.values.items():
            by_table.setdefault(key[: key.find("}")], {})[key] = value
        self.values = {key: value for own in by_table.values() for key, value in own.items()}

    def _read(self, request: Request) -> None:
        self.databases.update(request.databases)
        for table in request.tables:
            self.tables.setdefault(table.keys.base, table)


_notes: ContextVar[Notes | None] = ContextVar("cacheops_notes", default=None)

# Return the notes of the block that is being recorded, None where none is.
current_notes: Callable[[], Notes | None] = _notes.get


@contextmanager
def noted_in(notes: Notes) -> Iterator[None]:
    """Have what is read within the block noted, in this thread or task; by nobody else: an outer block is not whole."""
    outer = _notes.get()
    if outer is not None:
        outer.is_consistent = False
    token = _notes.set(notes)
    try:
        yield
    finally:
        _notes.reset(token)
