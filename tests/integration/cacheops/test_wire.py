"""The engine's own connections: what is left to itself is heard of later, and lost lines are made anew."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from cacheops.exceptions import CommandRefused
from cacheops.redis.transport import Wire
from cacheops.regions import regions as handler

KEY = "t-wire:{a}:key"


@pytest.fixture
def wire() -> Iterator[Wire]:
    store: Any = handler["us-west-2"].store
    made = Wire(store.servers)
    made.call([("DEL", KEY)])
    yield made
    made.call([("DEL", KEY)])
    made.forget()


def cut(wire: Wire) -> None:
    """End this thread's connections, as a server does that closes idle ones."""
    for line in wire._local.lines.values():
        line._socket.shutdown(socket.SHUT_RDWR)


def test_what_is_left_is_heard_of_with_the_next_use_in_order(wire: Wire) -> None:
    told: list[Any] = []
    wire.leave([("SET", KEY, "1"), ("INCR", KEY)], [KEY, KEY], told.append, mend=True)
    assert told == []
    assert wire.ask(("GET", KEY), KEY) == b"2"
    assert told == [[b"OK", 2]]


def test_what_is_left_and_refused_is_told(wire: Wire) -> None:
    told: list[Any] = []
    wire.leave([("SET", KEY, "text"), ("INCR", KEY)], [KEY, KEY], told.append, mend=False)
    assert wire.ask(("GET", KEY), KEY) == b"text"
    wire.call([("GET", KEY)])
    assert [type(error) for error in told] == [CommandRefused]


@pytest.mark.parametrize("mend", [True, False])
def test_what_is_left_on_a_lost_line_is_sent_again_where_it_must_be(wire: Wire, mend: bool) -> None:
    told: list[Any] = []
    wire.ask(("GET", KEY), KEY)
    cut(wire)
    wire.leave([("SET", KEY, "1")], [KEY], told.append, mend=mend)
    wire.ask(("GET", KEY), KEY)
    assert wire.ask(("GET", KEY), KEY) == (b"1" if mend else None)
    assert len(told) == 1
    assert (told == [[b"OK"]]) is mend


def test_a_lost_line_is_made_anew_and_counted(wire: Wire) -> None:
    wire.call([("SET", KEY, "1")])
    epoch = wire.epoch
    cut(wire)
    assert wire.ask(("GET", KEY), KEY) == b"1"
    assert wire.epoch == epoch + 1


def test_answers_find_their_asker_whatever_is_awaited_first(wire: Wire) -> None:
    first = wire.begin([("SET", KEY, "1"), ("GET", KEY)])
    second = wire.begin([("INCR", KEY)])
    assert second() == [2]
    assert wire.ask(("GET", KEY), KEY) == b"2"
    assert first() == [b"OK", b"1"]


def test_an_error_among_answers_is_raised_and_the_others_are_read(wire: Wire) -> None:
    with pytest.raises(CommandRefused, match="not an integer"):
        wire.call([("SET", KEY, "text"), ("INCR", KEY), ("GET", KEY)])
    assert wire.ask(("GET", KEY), KEY) == b"text"
