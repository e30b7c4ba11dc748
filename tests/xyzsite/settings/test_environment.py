"""Variables of the environment: what is taken, and what is refused by name."""

from ipaddress import ip_network
from typing import Any

import pytest
from django.core.cache import CacheHandler
from django.core.exceptions import ImproperlyConfigured

from tests.sentinels import Sentinels
from xyzsite.settings.environment import Env, at_least, database_at, log_level, networks, redis_addresses
from xyzsite.settings.regions import (
    caches_from_environment,
    region_cache,
    regions_with_servers,
    replicas_from_environment,
)

SENTINELS = "redis+sentinel://one:26379,two/shop/0"


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Env:
    made = Env()
    monkeypatch.setattr(made, "ENVIRON", {})
    return made


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "abc", "a whole number"),
        ("int", "1.5", "a whole number"),
        ("float", "soon", "a number"),
        ("dict", "zzz", "name=value pairs"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(env: Env, kind: str, value: str, expected: str) -> None:
    env.ENVIRON["VARIABLE"] = value
    with pytest.raises(ImproperlyConfigured, match=f"^VARIABLE must be {expected}"):
        getattr(env, kind)("VARIABLE", default=None)


def test_values_and_defaults_are_read_as_ever(env: Env) -> None:
    env.ENVIRON |= {"A": "5", "B": "0.5", "C": "a=b,c=d"}
    assert (env.int("A"), env.float("B"), env.dict("C"), env.int("D", default=7)) == (5, 0.5, {"a": "b", "c": "d"}, 7)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://user:word@host:5433/name", {"HOST": "host", "PORT": 5433, "NAME": "name"}),
        ("postgresql:////var/run/postgresql/name", {"HOST": "/var/run/postgresql", "NAME": "name"}),
        ("sqlite:////data/db.sqlite3", {"NAME": "/data/db.sqlite3"}),
        ("sqlite://:memory:", {"NAME": ":memory:"}),
    ],
)
def test_a_databases_address_is_taken(url: str, expected: dict[str, Any]) -> None:
    found = database_at("DATABASE_URL", url)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "url", ["zzz", "postgres", "mysql://host/name", "zzz://host/name", "postgres://host:port/name"]
)
def test_what_is_no_databases_address_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL must be the address of a database"):
        database_at("DATABASE_URL", url)


def test_addresses_of_servers_are_taken(env: Env) -> None:
    env.ENVIRON["SERVERS"] = "redis://user:word@host:6379/0,rediss://[::1]:6380"
    assert redis_addresses(env, "SERVERS") == ["redis://user:word@host:6379/0", "rediss://[::1]:6380"]
    assert redis_addresses(env, "OTHERS") == []
    env.ENVIRON["SERVERS"] = SENTINELS
    assert redis_addresses(env, "SERVERS") == [SENTINELS]


@pytest.mark.parametrize(
    "value",
    [
        *("zzz", "host:6379", "redis://", "http://host", "redis://:secret@host,host:6380", "redis://:secret@host:port"),
        *(
            "redis+sentinel://:secret@host",
            "redis+sentinel://:secret@host:port/shop",
            f"redis://:secret@host,{SENTINELS}",
        ),
    ],
)
@pytest.mark.parametrize("variable", ["REDIS_URL_US_EAST_1", "REDIS_READER_URL_US_EAST_1"])
def test_what_is_no_address_of_a_server_is_refused_and_not_told(env: Env, variable: str, value: str) -> None:
    env.ENVIRON |= {"REDIS_URL_US_EAST_1": "redis://host", variable: value}
    with pytest.raises(ImproperlyConfigured, match=f"^{variable} must be addresses") as raised:
        caches_from_environment(env, "us-east-1")
    assert "secret" not in str(raised.value)


def test_sentinels_have_replicas_that_are_waited_for(env: Env) -> None:
    env.ENVIRON["REDIS_URL_US_WEST_2"] = SENTINELS
    caches = caches_from_environment(env, "us-west-2")
    assert regions_with_servers(caches, "us-west-2") == ("us-west-2",)
    assert replicas_from_environment(env, caches) == {"us-east-1": 0, "us-west-2": 1, "us-east-2": 0}


@pytest.mark.parametrize(
    ("variable", "value"), [("REDIS_READER_URL_US_WEST_2", "redis://host"), ("REDIS_CLUSTER_US_WEST_2", "true")]
)
def test_what_sentinels_have_no_use_for_is_refused(env: Env, variable: str, value: str) -> None:
    env.ENVIRON |= {"REDIS_URL_US_WEST_2": SENTINELS, variable: value}
    with pytest.raises(ImproperlyConfigured, match=f"^{variable} is set for sentinels, .*: remove it"):
        caches_from_environment(env, "us-west-2")


@pytest.mark.servers
def test_the_platform_reaches_its_servers_by_their_sentinels(env: Env, sentinels: Sentinels) -> None:
    env.ENVIRON["REDIS_URL_US_WEST_2"] = sentinels.url
    options = {"IGNORE_EXCEPTIONS": False, "SOCKET_TIMEOUT": 2.0, "SOCKET_CONNECT_TIMEOUT": 2.0}
    entry = region_cache(env, "us-west-2")
    cache = CacheHandler({"default": entry | {"OPTIONS": entry["OPTIONS"] | options}})["default"]
    assert cache.set("key", 1)
    assert cache.get("key") == 1


def test_a_level_is_one_of_loggings() -> None:
    assert log_level("LOG_LEVEL", "INFO") == "INFO"
    with pytest.raises(ImproperlyConfigured, match=r"^LOG_LEVEL must be one of .*DEBUG, INFO"):
        log_level("LOG_LEVEL", "info")


def test_a_number_that_can_not_work_is_refused_by_name() -> None:
    assert at_least(1, "VARIABLE", 1) == 1
    with pytest.raises(ImproperlyConfigured, match=r"^VARIABLE must be 1 or more"):
        at_least(1, "VARIABLE", 0)


def test_networks_and_single_addresses_are_taken() -> None:
    assert networks("VARIABLE", ["10.0.0.0/8", "::1"]) == [ip_network("10.0.0.0/8"), ip_network("::1/128")]


@pytest.mark.parametrize("text", ["zzz", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_what_is_no_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^VARIABLE must be networks"):
        networks("VARIABLE", ["10.0.0.0/8", text])
