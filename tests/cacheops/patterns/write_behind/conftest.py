"""Buffers on the suite's servers, and a sink that a test can make refuse."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from cacheops.patterns.write_behind import cache as write_behind
from cacheops.patterns.write_behind.buffer import Buffer
from cacheops.patterns.write_behind.cache import WriteBehindCache


@dataclass(frozen=True)
class Note:
    """What the tests buffer."""

    number: int
    text: str = ""
    at: datetime | None = None


class Refused(Exception):
    """What the sink says of a bad item."""


class Died(BaseException):
    """The end of the worker, as far as a test can survive it."""


@dataclass
class Sink:
    """A database, as far as a writer knows one: stores each number once, all of a batch or none."""

    stored: dict[int, Note] = field(default_factory=dict)
    batches: list[list[int]] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    died: bool = False  # the process ends in the midst of the next writes
    failure: Exception | None = None  # raised by the next writes

    def write(self, notes: Sequence[Note]) -> int:
        self.batches.append([note.number for note in notes])
        if self.failure is not None:
            raise self.failure
        if self.died:
            raise Died
        for note in notes:
            if note.number in self.bad:
                raise Refused(f"{note.number} is bad")
        for note in notes:
            self.stored.setdefault(note.number, note)
        return len(notes)


@pytest.fixture(params=["us-west-2", "us-east-1"])
def region(request: Any, settings: Any) -> str:
    """Make a region this process's own: a primary with a replica, or a cluster. Its keys are the test's own."""
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    settings.CACHEOPS_REGIONS = (request.param,)
    settings.CACHEOPS_LOCAL_REGION = request.param
    settings.CACHEOPS_WAIT_SECONDS = 5  # a busy machine's replica may be slow to confirm
    settings.CACHEOPS_TIMEOUT = 10
    return request.param


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def cache(region: str, sink: Sink) -> Iterator[WriteBehindCache[Note, int]]:
    """Return a write-behind cache for which a worker lives."""
    made = WriteBehindCache("notes", Note, sink.write, refusals=(Refused,))
    made.buffer.take("worker", 1, 0, 0)
    yield made
    del write_behind.registered["notes"]


@pytest.fixture
def buffer(cache: WriteBehindCache[Note, int]) -> Buffer:
    return cache.buffer
