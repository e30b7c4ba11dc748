"""Pushes of a region's servers: what they tell, and what is known while they do not (R32, R34)."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache
from redis.exceptions import ConnectionError

from cacheops.redis import PushChannel, push_channel
from cacheops.redis.push_channel import _Line
from tests.cacheops.redis.conftest import primary
from tests.waiting import until

REGIONS = ("us-east-1", "us-west-2")
PREFIX, KEY = "p:{a}:t:", "p:{a}:t:1"


class Told:
    """What a channel has told: keys, and None where it has forgotten."""

    def __init__(self, cache: BaseCache) -> None:
        self.servers = cache.client.servers
        self.keys: list[Any] = []
        self.channel = PushChannel(self.servers, lambda keys: self.keys.extend([None] if keys is None else keys))

    def hears(self) -> bool:
        return self.channel.hears(PREFIX, KEY) and self.channel.confirmed > 0

    def change(self, key: str = KEY) -> None:
        self.servers.client.set(key, 1)


@pytest.fixture
def told(make: Callable[..., BaseCache]) -> Iterator[Callable[[str], Told]]:
    """Return a call that opens a channel to a region, and waits until it hears."""
    opened: list[Told] = []

    def listen(region: str) -> Told:
        opened.append(Told(make(region)))
        until(opened[-1].hears, "the channel hears")
        return opened[-1]

    yield listen
    for each in opened:
        each.channel.close()
        each.channel._thread.join()


@pytest.mark.parametrize("region", REGIONS)
def test_keys_of_a_prefix_are_told_before_they_are_confirmed(told, region):
    found = told(region)
    found.change("p:{a}:e:1")
    found.change()
    changed_at = time.monotonic()
    until(lambda: found.channel.confirmed > changed_at, "a heartbeat")
    assert found.keys == [KEY.encode()]


@pytest.mark.parametrize("region", REGIONS)
def test_a_silent_server_confirms_nothing_and_is_left_in_the_end(broken, told, region):
    found, node = told(region), primary(broken, region)
    broken.pause(node)
    paused_at = time.monotonic()
    until(lambda: None in found.keys, "the channel forgets")
    assert found.channel.confirmed < paused_at
    broken.resume(node)
    until(found.hears, "the channel hears again")
    found.keys.clear()
    found.change()
    until(lambda: found.keys == [KEY.encode()], "the push arrives")


@pytest.mark.parametrize("region", REGIONS)
def test_a_killed_server_is_forgotten_and_the_next_primary_heard(broken, told, region):
    found = told(region)
    broken.kill(primary(broken, region))
    until(lambda: None in found.keys, "the channel forgets")
    until(lambda: found.channel.confirmed > 0 and found.hears(), "the channel hears again")
    found.keys.clear()
    found.change()
    until(lambda: found.keys[:1] == [KEY.encode()], "the push arrives")


class OneServer:
    """A connection to a server whose answers the test writes itself."""

    def __init__(self) -> None:
        self._sock, self.far = socket.socketpair()

    def connect(self) -> None:
        """It is connected."""

    def disconnect(self) -> None:
        self._sock.close()
        self.far.close()


@pytest.fixture
def one_server() -> Iterator[OneServer]:
    server = OneServer()
    yield server
    server.disconnect()


@pytest.mark.parametrize("role", ["master", "slave"])
def test_a_heartbeat_counts_from_when_it_was_sent_and_only_of_a_primary(one_server, role):
    told: list[Any] = []
    line = _Line(one_server, "here", told.append)
    line.open()
    line.beat({PREFIX})
    sent_at = time.monotonic()
    one_server.far.sendall(b"%0\r\n+OK\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n")
    one_server.far.sendall(f"*1\r\n${len(role)}\r\n{role}\r\n".encode())
    if role == "master":
        line.receive()
        assert 0 < line.confirmed <= sent_at
        assert line.heard == {PREFIX}
    else:
        with pytest.raises(ConnectionError, match="no primary any more"):
            line.receive()
    assert told == [[b"a"]]


def test_a_server_is_given_up_after_a_silence(one_server, monkeypatch):
    line = _Line(one_server, "here", lambda keys: None)
    line.open()
    monkeypatch.setattr(push_channel, "SILENCE", 600.0)
    for _ in range(2):
        line.beat({PREFIX})
    monkeypatch.setattr(push_channel, "SILENCE", -1.0)
    with pytest.raises(ConnectionError, match="has not answered"):
        line.beat({PREFIX})
