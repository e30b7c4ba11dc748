"""Entries and tags whose bytes something has changed, at random: every read is right, and none raises.

A sample in a usual run. `make faults` tries a fiftieth of its million, and all of it where bytes become rows
(tests/cacheops/encoding/test_mutated.py).
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from cacheops import stale_ok
from cacheops.instrumentation.counters import counters
from cacheops.queryset import keys_of
from cacheops.regions import regions
from cacheops.stores.memory import MemoryStore
from tests.mutations import MUTATIONS, changed, new_random
from tests.testapp.cached import from_database
from tests.testapp.compare import plain
from tests.testapp.models import Book

TIMES = {"memory": MUTATIONS // 100 or 150, "redis": MUTATIONS // 100 or 150}
WRITE_EVERY = 50
REMEMBERED = 200  # payloads of before, for others' keys and for later

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]

QUERIES: dict[str, Callable[[], Any]] = {
    "instances": lambda: Book.objects.filter(pages__gt=0).order_by("pk"),
    "backwards": lambda: Book.objects.filter(pages__gt=0).order_by("-pk"),
    "one": lambda: Book.objects.filter(pk=1),
    "values": lambda: Book.objects.filter(pages__gt=3).values(),
    "titles": lambda: Book.objects.filter(status="in").values_list("title"),
    "outdated": lambda: Book.objects.filter(pages__gt=2).cache(level=stale_ok(60)),
}


class Mutator:
    """Changes what a region holds, beside the protocol."""

    def __init__(self) -> None:
        self.draw, self.seed = new_random()
        self.store: Any = regions.local.store
        self.before: list[bytes] = []

    def change(self, keys: list[str]) -> None:
        """Put other bytes under an entry's key, the first one, or under one of its tags."""
        key = keys[0] if self.draw.random() < 0.7 else self.draw.choice(keys[1:])
        data = self.store.read([key])[0] or b""
        if key == keys[0]:
            self.before = [*self.before[-REMEMBERED:], data]
            if self.draw.random() < 0.3:  # another key's, or this one's of before a write
                self.put(key, self.draw.choice(self.before))
                return
        self.put(key, changed(self.draw, data))

    def put(self, key: str, data: bytes) -> None:
        if isinstance(self.store, MemoryStore):
            self.store._set(key, data, 60.0)
        else:
            self.store._transport.run_many([("SET", key, data, "EX", 60)])


def write(number: int) -> dict[str, Any]:
    """Change a row; return what each query gives now."""
    with transaction.atomic():
        Book.objects.filter(pk=1 + number % 2).update(title=f"title {number}")
    return {name: from_database(query) for name, query in QUERIES.items()}


@pytest.mark.parametrize("one_region", TIMES, indirect=True)
def test_reads_are_right_whatever_bytes_they_find(one_region: str) -> None:
    mutator = Mutator()
    expected = write(0)
    for number in range(TIMES[one_region]):
        if number % WRITE_EVERY == 0:
            expected = write(number)
        name = mutator.draw.choice(list(QUERIES))
        query = QUERIES[name]
        list(query())  # so that it is there
        mutator.change(keys_of(query()))
        for _ in range(2):  # as it is found, and as it is healed
            assert plain(query()) == expected[name], (mutator.seed, number, name)
    reads = counters.total("hits") + counters.total("misses")
    assert counters.total("errors") == 0
    assert counters.total("hits") > reads / 3 > 0
    assert counters.total("corrupt") > 0
