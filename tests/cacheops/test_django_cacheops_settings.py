"""What `check` says of settings that django-cacheops has and this engine has not."""

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from cacheops.checks.django_cacheops import GONE
from cacheops.profiles import profile_of
from devices.models import Device
from locations.models import Location


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("CACHEOPS_REDIS", "redis://:secret@localhost:6379/1", "'redis://host:6379/0'"),
        (
            "CACHEOPS_SENTINEL",
            {"locations": [("one", 26379), ("two", 26380)], "service_name": "my shop", "db": 3, "password": "secret"},
            "'redis+sentinel://one:26379,two:26380/my%20shop/3'",
        ),
        ("CACHEOPS_SENTINEL", {"locations": ["secret"]}, "'redis+sentinel://host:26379,host:26379/service/0'"),
        ("CACHEOPS_SENTINEL", None, "'redis+sentinel://host:26379,host:26379/service/0'"),
    ],
)
def test_where_django_cacheops_finds_its_servers_is_said_as_an_address(
    settings: Any, name: str, value: Any, hint: str
) -> None:
    setattr(settings, name, value)
    (message,) = [message for message in run_checks(tags=["caches"], databases=[]) if message.id == "cacheops.W005"]
    assert f"name the servers in CACHES: 'LOCATION': {hint}." in message.hint
    assert "secret" not in message.hint


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("FILE_CACHE_DIR", Path("/srv/files"), "'LOCATION': '/srv/files'"),
        ("FILE_CACHE_TIMEOUT", 86400, "'TIMEOUT': 86400"),
    ],
)
def test_where_django_cacheops_keeps_files_is_said_as_an_alias(settings: Any, name: str, value: Any, hint: str) -> None:
    setattr(settings, name, value)
    (message,) = [message for message in run_checks(tags=["caches"], databases=[]) if message.id == "cacheops.W005"]
    assert message.msg.startswith(f"{name} is no setting")
    assert f"the alias 'file_cache' in CACHES: {hint}." in message.hint


@pytest.mark.parametrize(("name", "hint"), GONE.items())
def test_a_setting_that_means_nothing_here_is_said_with_what_to_write_instead(
    settings: Any, name: str, hint: str
) -> None:
    setattr(settings, name, True)
    (message,) = [message for message in run_checks(tags=["caches"], databases=[]) if message.id == "cacheops.W005"]
    assert message.hint.startswith(f"{hint}. ")


def test_models_are_named_in_any_case(settings: Any) -> None:
    settings.CACHEOPS = {"Devices.Device": {"ops": "get", "timeout": 7}, "LOCATIONS.*": None}
    assert not [message for message in run_checks(tags=["cacheops"], databases=[]) if "CACHEOPS names" in message.msg]
    device = profile_of(Device)
    assert device is not None
    assert device.timeout == 7
    assert profile_of(Location) is None
