"""The buffer of write-behind under the access list: all that it does is allowed to the application's user."""

import contextlib
from collections.abc import Callable

import pytest

from cacheops.exceptions import BufferFull, NotReplicated
from cacheops.patterns.write_behind.buffer import Buffer, buffer_of
from cacheops.redis import servers
from cacheops.redis.options import ServerOptions
from cacheops.stores.redis import RedisStore
from tests.deploy.conftest import PASSWORDS, Node
from tests.waiting import until


@pytest.fixture
def buffer(start: Callable[..., Node], pair: Node) -> Buffer:
    start("pair", "--replicaof", "127.0.0.1", str(pair.port))
    url = f"redis://app:{PASSWORDS['APP_PASSWORD']}@127.0.0.1:{pair.port}/0"
    store = RedisStore("test", servers(ServerOptions(urls=(url,))), wait_replicas=1)
    return buffer_of(store, "co:{write-behind.test}:", 1.0)


def test_the_application_may_do_all_that_the_buffer_does(buffer: Buffer) -> None:
    assert buffer.problem() == ""
    assert buffer.take("worker", 10, 0, 0) == []

    def appended() -> bool:
        with contextlib.suppress(NotReplicated):  # the replica is not in sync yet
            buffer.append([b"first"], 100)
            return True
        return False

    until(appended, "a confirmed write")
    with pytest.raises(BufferFull):
        buffer.append([b"second"], 1)
    taken = buffer.take("worker", 100, 0, 3600)
    assert {one.payload for one in taken} == {b"first"}
    buffer.give_back("worker", taken)
    again = buffer.take("worker", 100, 0, 0)
    assert [one.deliveries for one in again] == [1] * len(taken)
    assert buffer.stats().taken == len(taken)
    buffer.done([one.id for one in again])
    assert list(buffer.newest_many(["nobody"]).values()) == [None]
    buffer.leave("worker")
    assert buffer.stats().depth == 0
