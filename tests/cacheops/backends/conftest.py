"""The caches that must keep Django's contract: every region's, in memory, and under an access list."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as project
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from tests.servers import on_servers
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOST, redis_nodes

USER, PASSWORD = "app", "for-the-contract"
REGIONS = ("us-east-1", "us-west-2", "us-east-2")
SERVERS = (*REGIONS, "us-east-1 as app", "us-west-2 as app")
KINDS = ("memory", *on_servers(*SERVERS))


@pytest.fixture(scope="session")
def app_user(regions: LocalRegions) -> None:
    """Make the deployment's application user on every server of the suite; its keys are those of the tests.

    Which keys it has in a deployment, `tests/deploy/test_access.py` tests.
    """
    (line,) = [line for line in access_list() if line.startswith(f"user {USER} ")]
    words = line.replace("@APP_PASSWORD@", PASSWORD).split()[2:]
    rules = ["~*", *(word for word in words if not word.startswith("~"))]
    for node in redis_nodes():
        with redis.Redis(HOST, regions.plan.port(node.name)) as client:
            client.execute_command("ACL", "SETUSER", USER, "reset", *rules)


def access_list() -> list[str]:
    return (Path(__file__).resolve().parents[3] / "deploy" / "redis" / "users.acl").read_text().splitlines()


@pytest.fixture(params=KINDS)
def entry(request) -> dict[str, Any]:
    """Return a CACHES entry for each kind of cache, with a prefix that no other test uses."""
    kind = request.param
    prefix = f"contract-{uuid.uuid4().hex}"
    if kind == "memory":
        return {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": prefix, "KEY_PREFIX": prefix}
    region, _, user = kind.partition(" as ")
    found = project.CACHES[region] | {"KEY_PREFIX": prefix}
    found["OPTIONS"] = found["OPTIONS"] | {"SERIALIZER": "django_redis.serializers.pickle.PickleSerializer"}
    if user:
        request.getfixturevalue("app_user")
        found["OPTIONS"] = found["OPTIONS"] | {"USERNAME": USER, "PASSWORD": PASSWORD}
    found["OPTIONS"] = found["OPTIONS"] | {"IGNORE_EXCEPTIONS": False} if kind != "us-east-2" else found["OPTIONS"]
    return found


@pytest.fixture
def cache(entry: dict[str, Any], settings) -> Iterator[BaseCache]:
    """Return the default cache; "second" has its servers and another prefix, "newer" another version."""
    settings.CACHES = {
        "default": entry,
        "second": entry | {"KEY_PREFIX": f"{entry['KEY_PREFIX']}-second"},
        "newer": entry | {"VERSION": 2},
        "named": entry | {"KEY_FUNCTION": f"{__name__}.reversed_key"},
        "brief": entry | {"TIMEOUT": 0.05},
    }
    yield caches["default"]
    for alias in settings.CACHES:
        caches[alias].clear()


def reversed_key(key: str, prefix: str, version: int) -> str:
    return f"{prefix}/{version}/{key}/own"
