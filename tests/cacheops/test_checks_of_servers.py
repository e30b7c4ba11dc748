"""What `check --database` finds out from the servers: replicas that are not there, or that no setting counts."""

from typing import Any

import pytest
from django.core.checks import run_checks

pytestmark = [pytest.mark.servers, pytest.mark.django_db]


def asked(**arguments: Any) -> dict[str, str]:
    return {message.id: message.msg for message in run_checks(tags=["cacheops"], **arguments)}


def test_replicas_that_are_not_there_are_found_where_servers_are_asked(settings: Any) -> None:
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("us-west-2",), "us-west-2"
    settings.CACHEOPS_WAIT_REPLICAS = {"us-west-2": 7}
    assert asked(databases=[]) == {}  # None is every database, from Django 6.1 on
    assert "1 of 7 replicas confirmed" in asked(databases=["default"])["cacheops.W006"]
    settings.CACHEOPS_WAIT_REPLICAS = {"us-west-2": 1}
    settings.CACHEOPS_WAIT_SECONDS = 1
    assert asked(databases=["default"]) == {}


def test_replicas_that_no_setting_counts_are_found_where_servers_are_asked(settings: Any) -> None:
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("us-west-2",), "us-west-2"
    settings.CACHEOPS_WAIT_REPLICAS = {}
    assert asked(databases=[]) == {}  # None is every database, from Django 6.1 on
    assert "has 1 replicas" in asked(databases=["default"])["cacheops.W001"]


def test_servers_that_are_away_are_no_finding(settings: Any) -> None:
    settings.CACHES = {
        "default": {"BACKEND": "cacheops.backends.RegionCache", "LOCATION": "redis://127.0.0.1:1/0"},
    }
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("default",), "default"
    settings.CACHEOPS_WAIT_REPLICAS, settings.CACHEOPS_CLOUDWATCH_CLUSTERS = {"default": 1}, {}
    assert asked(databases=["default"]) == {}
