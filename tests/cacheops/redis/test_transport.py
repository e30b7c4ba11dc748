"""The engine's own connections: what is not waited for is reported later, and lost connections are made anew."""

import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from cacheops.exceptions import CommandRefused, StoreUnavailable
from cacheops.redis.thread_transport import ThreadTransport as Transport
from cacheops.regions import regions as handler

KEY = "t-transport:{a}:key"


@pytest.fixture
def transport() -> Iterator[Transport]:
    store: Any = handler["us-west-2"].store
    made = Transport(store.servers)
    made.run_many([("DEL", KEY)])
    yield made
    made.run_many([("DEL", KEY)])
    made.close()


def cut(transport: Transport) -> None:
    """End this thread's connections, as a server does that closes idle ones."""
    for connection in transport._own.connections.values():
        connection._socket.shutdown(socket.SHUT_RDWR)


def test_an_unawaited_reply_is_reported_with_the_next_use_in_order(transport: Transport) -> None:
    outcomes: list[Any] = []
    transport.send([("SET", KEY, "1"), ("INCR", KEY)], [KEY, KEY], list, resend=True).on_result(outcomes.append)
    assert outcomes == []
    assert transport.run(("GET", KEY), KEY) == b"2"
    assert outcomes == [[b"OK", 2]]


def test_an_unawaited_refusal_is_reported(transport: Transport) -> None:
    outcomes: list[Any] = []
    transport.send([("SET", KEY, "text"), ("INCR", KEY)], [KEY, KEY], list, resend=False).on_result(outcomes.append)
    assert transport.run(("GET", KEY), KEY) == b"text"
    transport.run_many([("GET", KEY)])
    assert [type(error) for error in outcomes] == [CommandRefused]


def test_closing_closes_this_thread_s_connections_and_the_next_use_opens_others(transport: Transport) -> None:
    (first,) = transport._own.connections.values()
    epoch = transport.epoch
    transport.close()
    assert first.closed
    assert transport.run(("GET", KEY), KEY) is None
    assert transport.epoch == epoch + 1


class Moving:
    """Servers of which a table's is another one each time that they are asked."""

    def __init__(self) -> None:
        self.asked = 0

    def node_of(self, route: str) -> int:
        self.asked += 1
        return self.asked


def test_a_table_s_server_is_asked_for_once_until_they_change() -> None:
    servers: Any = Moving()
    transport = Transport(servers)
    assert [transport.node_of(f"t-transport:{{a}}:{kind}") for kind in "et"] == [1, 1]
    transport.forget_nodes()
    assert [transport.node_of(f"t-transport:{{{table}}}:e") for table in "aba"] == [2, 3, 2]


@pytest.mark.parametrize("resend", [True, False])
def test_a_command_on_a_lost_connection_is_sent_again_where_it_must_be(transport: Transport, resend: bool) -> None:
    outcomes: list[Any] = []
    transport.run(("GET", KEY), KEY)
    cut(transport)
    transport.send([("SET", KEY, "1")], [KEY], list, resend=resend).on_result(outcomes.append)
    transport.run(("GET", KEY), KEY)
    assert transport.run(("GET", KEY), KEY) == (b"1" if resend else None)
    assert len(outcomes) == 1
    assert (outcomes == [[b"OK"]]) is resend


def test_a_lost_connection_is_made_anew_and_counted(transport: Transport) -> None:
    transport.run_many([("SET", KEY, "1")])
    epoch = transport.epoch
    cut(transport)
    assert transport.run(("GET", KEY), KEY) == b"1"
    assert transport.epoch == epoch + 1


def test_replies_may_be_awaited_in_any_order(transport: Transport) -> None:
    first = transport.send([("SET", KEY, "1"), ("GET", KEY)], None, list)
    second = transport.send([("INCR", KEY)], None, list)
    assert second.result() == [2]
    assert transport.run(("GET", KEY), KEY) == b"2"
    assert first.result() == [b"OK", b"1"]


def test_an_error_among_answers_is_raised_and_the_others_are_read(transport: Transport) -> None:
    with pytest.raises(CommandRefused, match="not an integer"):
        transport.run_many([("SET", KEY, "text"), ("INCR", KEY), ("GET", KEY)])
    assert transport.run(("GET", KEY), KEY) == b"text"


def test_a_reply_pending_on_another_connection_outlives_their_renewal() -> None:
    """A cut connection has all of them made anew; the others may have answers under way."""
    store: Any = handler["us-east-1"].store
    transport = Transport(store.servers)
    here = KEY
    there = next(
        key
        for key in (f"t-transport:{{{number}}}:key" for number in range(100))
        if store.servers.node_of(key) != store.servers.node_of(here)
    )
    outcomes: list[Any] = []
    transport.run_many([("DEL", here), ("DEL", there)])
    transport.connection_to(store.servers.node_of(here))._socket.shutdown(socket.SHUT_RDWR)
    transport.send([("SET", there, "1")], [there], list, resend=True).on_result(outcomes.append)
    assert transport.run(("GET", here), here) is None
    assert transport.run(("GET", there), there) == b"1"
    assert outcomes == [[b"OK"]]
    transport.close()


def test_closing_reports_what_has_been_answered(transport: Transport) -> None:
    outcomes: list[Any] = []
    transport.send([("SET", KEY, "1")], [KEY], list).on_result(outcomes.append)
    other = Transport(transport.servers)
    while other.run(("GET", KEY), KEY) is None:  # then the first command is answered, too
        pass
    other.close()
    transport.close()
    assert outcomes == [[b"OK"]]


def test_an_interrupted_exchange_fails_what_is_pending(transport: Transport) -> None:
    outcomes: list[Any] = []
    transport.run(("GET", KEY), KEY)

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        transport.send([("BLPOP", f"{KEY}-list", 5)], [KEY], list).on_result(outcomes.append)
        with pytest.raises(KeyboardInterrupt):
            transport.run(("GET", KEY), KEY)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert transport.run(("GET", KEY), KEY) is None
    assert [type(error) for error in outcomes] == [StoreUnavailable]


def test_a_forked_child_leaves_its_parents_answers_alone(transport: Transport) -> None:
    outcomes: list[Any] = []
    other = Transport(transport.servers)
    transport.send([("SET", KEY, "1")], [KEY], list).on_result(outcomes.append)
    while other.run(("GET", KEY), KEY) is None:
        pass
    child = os.fork()
    if child == 0:
        transport.connection_to(transport.servers.node_of(KEY))  # drops those of its parent
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert transport.run(("GET", KEY), KEY) == b"1"
    assert outcomes == [[b"OK"]]
    other.close()
