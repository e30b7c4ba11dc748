"""Addresses of sentinels: what they say, and what is wrong with those that can't be read."""

from typing import Any

import pytest
from django.core.checks import run_checks
from redis.connection import SSLConnection

from cacheops.exceptions import InvalidOption
from cacheops.redis.options import ServerOptions, urls_in
from cacheops.redis.sentinel import Sentinels
from cacheops.redis.sentinel_address import SentinelAddress

PLAIN = "redis+sentinel://a:26379,b/shop"


def test_an_address_names_sentinels_a_service_and_how_to_reach_its_servers() -> None:
    found = SentinelAddress.parse(
        "rediss+sentinel://app:p%40ss@s1:1,s2,[::1]:3/my%20shop/2?sentinel_username=watch&sentinel_password=s%26&"
        "ssl_check_hostname=false"
    )
    assert found.sentinels == (("s1", 1), ("s2", 26379), ("::1", 3))
    assert (found.service, found.tls) == ("my shop", True)
    assert dict(found.authority) == {"username": "watch", "password": "s&"}
    assert found.server("::2", 6379) == "rediss://app:p%40ss@[::2]:6379/2?ssl_check_hostname=false"
    assert found.server() == "rediss://app:p%40ss@/2?ssl_check_hostname=false"
    assert "p%40ss" not in repr(found)
    assert "s&" not in repr(found)


def test_sentinels_are_reached_as_the_servers_are_but_by_their_own_name() -> None:
    url = "rediss+sentinel://app:secret@a,b/shop?sentinel_username=watch&ssl_check_hostname=false"
    options = ServerOptions(urls=(url,), ca_certs="/ca.pem", socket_timeout=3.0, username="other")
    found = [each.connection_pool for each in Sentinels(SentinelAddress.parse(url), options).sentinels]
    assert [pool.connection_class for pool in found] == [SSLConnection] * 2
    how = found[0].connection_kwargs
    assert (how["ssl_ca_certs"], how["ssl_check_hostname"], how["socket_timeout"]) == ("/ca.pem", False, 1.5)
    assert (how["username"], how["password"]) == ("watch", None)


def test_commas_part_addresses_but_not_those_of_sentinels() -> None:
    assert urls_in(PLAIN) == (PLAIN,)
    assert urls_in("redis://a,redis://b") == ("redis://a", "redis://b")
    assert urls_in([PLAIN]) == (PLAIN,)


@pytest.mark.parametrize(
    ("urls", "problem"),
    [
        (["redis+sentinel://app:secret@a:26379"], "does not end with /service"),
        (["redis+sentinel://app:secret@a:26379/"], "does not end with /service"),
        (["redis+sentinel://app:secret@a:26379/shop/first"], "does not end with /service"),
        (["redis+sentinel://app:secret@a:26379/shop/0/1"], "does not end with /service"),
        (["redis+sentinel://app:secret@a:70000/shop"], "'a:70000' is no host:port"),
        (["redis+sentinel://app:secret@a:0/shop"], "'a:0' is no host:port"),
        (["redis+sentinel://app:secret@a,,b/shop"], "'' is no host:port"),
        (["redis+sentinel://app:secret@a:b/shop"], "'a:b' is no host:port"),
        (["redis+sentinel://::1/shop"], "'::1' is no host:port"),
        (["redis+sentinel:///shop"], "'' is no host:port"),
        ([PLAIN + "?sentinel_user=secret"], "no sentinel_user"),
        ([PLAIN, "redis+sentinel://app:secret@b/shop"], "one names all of them, by comma"),
        ([PLAIN, "redis://app:secret@b"], "one names all of them, by comma"),
        (["sentinel://app:secret@a/shop"], "can't be read"),
        (["redis://app:secret@a:b"], "can't be read"),
        (["app:secret@a:6379"], "can't be read"),
    ],
)
def test_what_can_not_be_read_is_named_without_its_password(urls: list[str], problem: str) -> None:
    with pytest.raises(InvalidOption, match=problem) as caught:
        ServerOptions(urls=tuple(urls))
    assert "secret" not in str(caught.value)


def test_a_cluster_has_no_sentinels() -> None:
    with pytest.raises(InvalidOption, match="watch none"):
        ServerOptions(urls=(PLAIN,), cluster=True)


@pytest.mark.parametrize("location", ["redis+sentinel://a:26379", "redis+sentinel://a/shop,redis://b"])
def test_it_is_found_by_check(settings: Any, location: str) -> None:
    settings.CACHES = {"default": {"BACKEND": "cacheops.backends.RegionCache", "LOCATION": location}}
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("default",), "default"
    (message,) = [each for each in run_checks(tags=["cacheops"], databases=[]) if each.id == "cacheops.E006"]
    assert "LOCATION" in message.msg
