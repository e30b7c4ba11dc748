"""Django's asynchronous twins of the cache API."""

import asyncio

import pytest


def test_one_key(cache):
    async def scenario():
        await cache.aset("key", 1)
        assert await cache.aget("key") == 1
        assert await cache.aget("missing", "default") == "default"
        assert await cache.aadd("key", 2) is False
        assert await cache.aget_or_set("key", 2) == 1
        assert await cache.aget_or_set("new", lambda: 3) == 3
        assert await cache.aget_or_set("none", None) is None
        assert await cache.aincr("key", 4) == 5
        assert await cache.adecr("key", 3) == 2
        assert await cache.atouch("key", None) is True
        assert await cache.ahas_key("key") is True
        assert await cache.adelete("key") is True
        assert await cache.aget("key") is None

    asyncio.run(scenario())


def test_many_keys(cache):
    async def scenario():
        assert await cache.aset_many({"a": 1, "b": 2}) == []
        assert await cache.aget_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        await cache.adelete_many(["a"])
        assert await cache.aget_many(["a", "b"]) == {"b": 2}
        await cache.aclear()
        assert await cache.aget("b") is None
        await cache.aclose()

    asyncio.run(scenario())


def test_versions(cache):
    async def scenario():
        await cache.aset("key", 1)
        assert await cache.aincr_version("key") == 2
        assert await cache.aget("key", version=2) == 1
        assert await cache.adecr_version("key", version=2) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["aincr", "adecr", "aincr_version"])
def test_a_missing_key_is_a_value_error(cache, method):
    with pytest.raises(ValueError, match="missing"):
        asyncio.run(getattr(cache, method)("missing"))
