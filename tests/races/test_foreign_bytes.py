"""Keys of the protocol that hold what it does not write, whatever brought it there: they heal once, and are counted."""

from collections.abc import Callable
from typing import Any

import pytest

from cacheops import invalidate_all
from cacheops.databases import table_keys
from cacheops.instrumentation.counters import counters
from cacheops.regions import regions
from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.models import Book

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("books"),
    pytest.mark.parametrize("one_region", ["redis"], indirect=True),
]

TEXTS = [
    b"",
    b"x",
    b"p",
    b"pp" * 12,
    b"p" + b"?" * 24,
    b"p" + b"writers " + b"9" * 17,
    b"a text of somebody",
    b"9" * 25,
]
TYPES: dict[str, tuple[Any, ...]] = {"hash": ("HSET", "a", "b"), "list": ("RPUSH", "a"), "set": ("SADD", "a")}
COMMANDS = {**{repr(text): ("SET", text) for text in TEXTS}, **TYPES}

# A registry is a hash itself.
PLACES = [(tag, name) for tag in ("id=1", "*", "registry") for name in COMMANDS if (tag, name) != ("registry", "hash")]

READS: dict[str, Callable[[], Any]] = {
    "row": lambda: Book.objects.get(pk=1).title,
    "count": lambda: Book.objects.filter(pages__gt=0).count(),
    "many": lambda: Book.objects.in_bulk([1, 2]),
}


def put(name: str, command: tuple[Any, ...]) -> None:
    keys = table_keys("default", Book._meta.db_table)
    key = keys.registry if name == "registry" else keys.tag(name)
    store: Any = regions.local.store
    kind, *values = command
    store._transport.run_many([("DEL", key), (kind, key, *values)])


def agrees(read: Callable[[], Any]) -> bool:
    return bool(plain(read()) == from_database(read))


@pytest.mark.parametrize(("tag", "command"), PLACES)
def test_a_read_heals_it_once_and_counts_it(tag: str, command: str) -> None:
    read = READS["row"]
    if tag != "registry":  # which a hit does not look at
        read()
    counters.reset()
    put(tag, COMMANDS[command])
    assert agrees(read)
    assert counters.total("corrupt") == 1
    assert is_hit("default", read)
    assert counters.total("errors") == 0


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("command", TYPES)
def test_every_kind_of_read_is_a_hit_again(name: str, command: str) -> None:
    read = READS[name]
    read()
    put("*", COMMANDS[command])
    read()
    assert agrees(read)
    assert is_hit("default", read)


@pytest.mark.parametrize(("tag", "command"), PLACES)
def test_a_write_is_not_hindered(tag: str, command: str) -> None:
    read, book = READS["row"], Book.objects.get(pk=1)
    for number in range(3):
        read()
        put(tag, COMMANDS[command])
        book.title = f"title {number}"
        book.save()
        assert read() == book.title
    assert counters.total("errors") == 0
    read()
    assert is_hit("default", read)


@pytest.mark.parametrize("command", TYPES)
def test_invalidation_by_hand_is_not_hindered(command: str) -> None:
    read = READS["row"]
    read()
    put("id=1", COMMANDS[command])
    invalidate_all()
    assert agrees(read)
