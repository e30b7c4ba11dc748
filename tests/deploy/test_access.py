"""The application's user in deploy/redis/users.acl: keys of its own prefixes, and all that a store does with them."""

import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from redis.exceptions import NoPermissionError, ResponseError

from cacheops.conf import conf
from cacheops.protocol.keys import TableKeys
from cacheops.redis import servers
from cacheops.redis.identity import RECORD
from cacheops.redis.options import ServerOptions
from cacheops.stores.redis import RedisStore
from cacheops.testing.store_contract.many import ManyRules
from cacheops.testing.store_contract.reading import ReadingRules
from cacheops.testing.store_contract.writing import WritingRules
from tests.deploy.conftest import PASSWORDS, Node
from tests.waiting import until


def test_the_list_names_the_prefixes_of_the_settings(pair: Node) -> None:
    with pair.client("operations") as client:
        (listed,) = [line for line in client.acl_list() if line.startswith("user app ")]
    patterns = {word for word in listed.split() if word.startswith("~")}
    caches = {cache.get("KEY_PREFIX") for cache in settings.CACHES.values()} - {None}
    assert patterns == {f"~{prefix}:*" for prefix in (*caches, conf.prefix, RECORD)}


@pytest.mark.parametrize("key", ["key", "xy", "xyzz:1:a", "cooked", "cacheops:other", "other:co:{a.b}:c"])
@pytest.mark.parametrize("command", ["GET {}", "SET {} 1", "DEL {}", "EVAL return(redis.call('GET',KEYS[1])) 1 {}"])
def test_other_keys_are_refused(pair: Node, key: str, command: str) -> None:
    with pair.client("app") as client, pytest.raises(NoPermissionError):
        client.execute_command(*command.format(key).split())


def test_a_script_reaches_no_key_that_it_does_not_name(pair: Node) -> None:
    with pair.client("app") as client, pytest.raises(ResponseError, match=r"No permissions|can.t access"):
        client.eval("return redis.call('GET', 'other')", 0)


@pytest.fixture
def store(pair: Node) -> Iterator[RedisStore]:
    """Return a store whose connections are the application's user's."""
    url = f"redis://app:{PASSWORDS['APP_PASSWORD']}@127.0.0.1:{pair.port}/0"
    found = RedisStore("test", servers(ServerOptions(urls=(url,))), wait_replicas=0)
    yield found
    found.close()


def test_the_application_is_told_what_others_change(store: RedisStore) -> None:
    keys = TableKeys.of(conf.prefix, "default", "told")
    watch = until(lambda: store.near.watch([[keys.generation]]), "the servers tell of changes")
    with store.servers.client as client:
        client.set(keys.generation, "12345678")
    until(lambda: watch.tags[0].is_outdated, "the push arrives")
    store.near.close()


class TestTheStoreAsTheApplication(ReadingRules, ManyRules, WritingRules):
    """The contract, by the application's user."""

    @pytest.fixture
    def pass_time(self) -> Callable[[float], None]:
        return time.sleep
