"""Which regions cache the primary database, and which their replica of it."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from xyzsite.settings.environment import Env
from xyzsite.settings.regions import follower_regions, regions_by_database

POSTGRES = {"ENGINE": "django.db.backends.postgresql"}
PRIMARY = {"default": POSTGRES}
BOTH = {"default": POSTGRES, "replica": POSTGRES}


@pytest.mark.parametrize(
    ("named", "own", "databases", "expected"),
    [
        ("", "us-east-1", PRIMARY, ()),
        ("", "us-east-1", BOTH, ()),
        ("", "us-west-2", PRIMARY, ()),
        ("", "us-west-2", BOTH, ("us-west-2",)),
        ("", "us-west-2", {**BOTH, "default": {"ENGINE": "django.db.backends.sqlite3"}}, ()),
        ("us-east-2,us-west-2", "us-east-1", PRIMARY, ("us-west-2", "us-east-2")),
        ("us-east-2", "us-west-2", BOTH, ("us-west-2", "us-east-2")),
    ],
)
def test_a_region_with_a_replica_follows(
    monkeypatch: pytest.MonkeyPatch, named: str, own: str, databases: dict[str, Any], expected: tuple[str, ...]
) -> None:
    env = Env()
    monkeypatch.setattr(env, "ENVIRON", {"FOLLOWER_REGIONS": named})
    assert follower_regions(env, own, databases) == expected


@pytest.mark.parametrize("named", ["us-east-1", "us-west-2,mars-1"])
def test_what_can_not_follow_is_refused(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    env = Env()
    monkeypatch.setattr(env, "ENVIRON", {"FOLLOWER_REGIONS": named})
    with pytest.raises(ImproperlyConfigured, match="FOLLOWER_REGIONS must be some of us-west-2, us-east-2"):
        follower_regions(env, "us-west-2", PRIMARY)


def test_a_primary_is_cached_where_no_region_follows() -> None:
    everywhere = ("us-east-1", "us-west-2", "us-east-2")
    assert regions_by_database(everywhere, ["us-west-2"]) == {
        "default": ("us-east-1", "us-east-2"),
        "replica": ("us-west-2",),
    }
    assert regions_by_database(("us-west-2",), ["us-west-2"]) == {"default": ("us-east-1",), "replica": ("us-west-2",)}
