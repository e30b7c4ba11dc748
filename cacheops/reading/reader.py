"""Who answers cached reads: the local region, or, within a block, somebody who was put in its place.

A read that is made inside other code, as a page's are, can't be given a reader as an argument. This is the one place
where another one is found. Warming (cacheops/warming/calls.py) and the debug toolbar's panel (cacheops/toolbar.py) put
one there: see docs/decisions/0016-readers-in-context.md.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

from cacheops.encoding.rows import Row
from cacheops.reading.request import Request

Rows: TypeAlias = Sequence[Row]
Load: TypeAlias = Callable[[], Rows]
LoadMany: TypeAlias = Callable[[Sequence[int]], Sequence[Rows]]  # given the places of requests


class Reader(Protocol):
    """Answers cached reads."""

    def read(self, request: Request, load: Load) -> Rows:
        """Return a result, calling `load` for it at most once."""

    def read_many(self, requests: Sequence[Request], load: LoadMany) -> list[Rows]:
        """Return the results of requests, in their order."""

    def passed(self, label: str, reason: str) -> None:
        """Hear of a read that goes to the database by rule, and why."""


_reader: ContextVar[Reader | None] = ContextVar("cacheops_reader", default=None)


# Return who answers in the place of the local region, None where it answers itself.
current_reader: Callable[[], Reader | None] = _reader.get


@contextmanager
def reading_by(reader: Reader | None) -> Iterator[None]:
    """Have a reader, or for None the region, answer the cached reads within the block, in this thread or task."""
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)
