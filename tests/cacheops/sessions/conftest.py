"""A user, and the places where sessions are kept: each region's cache, and one in memory."""

from typing import Any

import pytest
from django.core.cache import caches

from cacheops.regions.elsewhere import elsewhere
from users.models import User

REGIONS = ("us-east-1", "us-west-2", "us-east-2")


@pytest.fixture(params=[*REGIONS, "memory"])
def region(request: Any, settings: Any) -> str:
    """Let this process run in each region, and with a cache in memory; where no query is cached yet."""
    settings.CACHEOPS_PREFIX = "sessions"
    if request.param == "memory":
        memory = {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": "sessions"}
        settings.CACHES = {**settings.CACHES, "default": memory, "us-east-1": memory}
        settings.CACHEOPS_REGIONS = ("us-east-1",)
        return "us-east-1"
    settings.CACHES = {**settings.CACHES, "default": settings.CACHES[request.param]}
    settings.CACHEOPS_LOCAL_REGION = request.param
    return str(request.param)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ada", password="enchantress of numbers")


def held_in_every_region(key: str) -> list[Any]:
    """Return what each region's cache holds under a key, when the others have been told all: nobody waits for them."""
    elsewhere.wait()
    return [caches[name].get(key) for name in REGIONS]
