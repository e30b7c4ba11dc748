"""Every setting is checked by `manage.py check`, and never fails as anything but InvalidOption where it is read."""

import math
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks

from cacheops.checks import CHECKS
from cacheops.conf import SETTINGS, Conf, Setting, conf
from cacheops.exceptions import InvalidOption

ROOT = Path(__file__).resolve().parents[2]
ATTRIBUTES = {one.name: attribute for attribute, one in vars(Conf).items() if isinstance(one, Setting)}

NO_FLAG = ("False", 1, 0, None)
NO_NUMBER = ("1", None, True, math.nan, math.inf, [1])
NO_WAIT = (*NO_NUMBER, 0, -1, 30 * 86400 + 1, timedelta(seconds=1))
NO_SECONDS = (*NO_NUMBER, -0.5, 30 * 86400 + 1)
NO_COUNT = (*NO_NUMBER, 0, -1, 1.5)
NO_COUNT_OR_0 = (*NO_NUMBER, -1, 0.5)

# Setting: the check's id, values that it finds, values that can work.
VALUES: dict[str, tuple[str, tuple[Any, ...], tuple[Any, ...]]] = {
    "CACHEOPS_ENABLED": ("E012", NO_FLAG, (True, False)),
    "CACHEOPS": ("E020", (None, "all", ["a.b"], {"a.b": "all"}, {1: {}}), ({}, {"*.*": None}, {"auth.user": {}})),
    "CACHEOPS_DEFAULTS": ("E020", (None, "all", {1: 2}), ({}, {"ops": "all"})),
    "CACHEOPS_MAX_ENTRY_BYTES": ("E014", NO_COUNT, (1, 2**30)),
    "CACHEOPS_MAX_TAGS": ("E014", NO_COUNT_OR_0, (0, 5)),
    "CACHEOPS_MAX_MARKS": ("E014", NO_COUNT_OR_0, (0, 5)),
    "CACHEOPS_TTL_STRATEGIES": ("E004", (None, "x", {"x": "soon"}, {"x": -1}, {"x": 1e9}), ({}, {"x": 1, "y": 0.5})),
    "CACHEOPS_JITTER": ("E015", (*NO_NUMBER, -0.1, 1.1), (0, 0.5, 1)),
    "CACHEOPS_EARLY_REFRESH": ("E015", (*NO_NUMBER, -0.1), (0, 1.5, 10)),
    "CACHEOPS_PREFIX": (
        "E016",
        (None, 1, b"co", ["co"], "a b", "a{b", "a*", "ü", "x" * 201, "tests.nowhere.prefix", lambda one, two: "co"),
        (
            "",
            "co",
            "a:b",
            lambda: "co",
            lambda tenant="x": tenant,
            lambda query: "co",
            str,
            "co.v2",
            "tests.cacheops.menu.prefix_of",
        ),
    ),
    "CACHEOPS_REGIONS": (
        "E018",
        (
            *(None, "default", (), [""], [1], {"default"}, ("default", "default")),
            *({}, {"default": ()}, {"": ("default",)}, {1: ("default",)}, {"default": "default"}, {"default": None}),
        ),
        (["default"], ("default", "us-east-1"), {"default": ["us-east-1"]}, {"a": ("x", "y"), "b": ("x",)}),
    ),
    "CACHEOPS_FOLLOWERS": (
        "E020",
        (None, "replica", ["replica"], {1: "default"}, {"replica": None}, {"replica": ""}),
        ({}, {"replica": "default"}),
    ),
    "CACHEOPS_LOCAL_REGION": ("E007", (None, 1, ["default"]), ("", "us-east-1")),
    "CACHEOPS_WAIT_REPLICAS": (
        "E014",
        (None, "1", -1, 1.5, True, [1], {"us-east-1": -1}, {"us-east-1": "1"}, {1: 1}),
        (0, 2, {}, {"us-east-1": 1}),
    ),
    "CACHEOPS_WAIT_SECONDS": ("E013", NO_WAIT, (0.001, 5)),
    "CACHEOPS_MARK_SECONDS": ("E013", NO_WAIT, (0.5, 3600)),
    "CACHEOPS_LOADER_SECONDS": ("E013", NO_WAIT, (0.001, 5)),
    "CACHEOPS_MAX_LAG": ("E013", NO_WAIT, (0.001, 5)),
    "CACHEOPS_TIMEOUT": ("E013", NO_WAIT, (0.001, 5)),
    "CACHEOPS_REMOTE_TIMEOUT": ("E013", NO_WAIT, (0.001, 5)),
    "CACHEOPS_ON_UNREACHABLE": ("E008", (None, "", "hope", ["queue"], True), ("queue", "strict")),
    "CACHEOPS_WHEN_DATABASE_AWAY": ("E008", (None, "", "hope", ["fail"], True), ("serve", "fail")),
    "CACHEOPS_DATABASE_SILENCE": ("E013", NO_SECONDS, (0, 0.5)),
    "CACHEOPS_BREAKER_THRESHOLD": ("E014", NO_COUNT, (1, 5)),
    "CACHEOPS_BREAKER_RECOVERY": ("E013", NO_SECONDS, (0, 0.5)),
    "CACHEOPS_FLUSH_BATCH": ("E011", NO_COUNT, (1, 5)),
    "CACHEOPS_FLUSH_SECONDS": ("E011", NO_SECONDS, (0, 0.5)),
    "CACHEOPS_FLUSH_RETRY_SECONDS": ("E011", NO_SECONDS, (0, 0.5)),
    "CACHEOPS_FLUSH_ATTEMPTS": ("E011", NO_COUNT, (1, 5)),
    "CACHEOPS_BUFFER_BOUND": ("E011", NO_COUNT, (1, 5)),
    "CACHEOPS_VERIFY_SAMPLE": ("E014", NO_COUNT_OR_0, (0, 1)),
    "CACHEOPS_USAGE_SAMPLE": ("E014", NO_COUNT_OR_0, (0, 1)),
    "CACHEOPS_METRICS_SECONDS": ("E013", NO_SECONDS, (0, 0.5)),
    "CACHEOPS_METRICS_TOKEN": ("E017", (None, 1, b"secret", "secret\n", "a secret"), ("", "secret")),
    "CACHEOPS_METRICS_NETWORKS": (
        "E019",
        (None, "10.0.0.0/8", [10], ["10.0.0.0/33"], ["everywhere"]),
        ([], ("10.0.0.0/8", "10.0.0.1/8", "::1/128")),
    ),
    "CACHEOPS_CLOUDWATCH_CLUSTERS": (
        "E020",
        (None, "x", [], {1: "x"}, {"us-east-1": None}, {"us-east-1": ""}),
        ({}, {"us-east-1": "x"}),
    ),
    "CACHEOPS_TRACING": ("E012", NO_FLAG, (True, False)),
}
WRONG = [(name, f"cacheops.{id}", value) for name, (id, wrong, _) in VALUES.items() for value in wrong]
RIGHT = [(name, value) for name, (_, _, right) in VALUES.items() for value in right]


def found() -> dict[str, str]:
    """Return the texts of what the checks find, by id."""
    return {
        message.id: message.msg
        for message in run_checks(tags=["caches"], databases=[])
        if message.id.startswith("cacheops.")
    }


def test_every_setting_is_tested_here() -> None:
    assert set(VALUES) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_has_a_check_and_one_line_of_meaning(setting: Setting[Any]) -> None:
    assert setting.kind.check in CHECKS
    assert re.fullmatch(r"[A-Z][^\n|]+\.", setting.meaning)
    assert "|" not in setting.kind.expects


@pytest.mark.parametrize(("name", "id", "value"), WRONG)
def test_a_wrong_value_is_found_by_check(settings: Any, name: str, id: str, value: Any) -> None:
    setattr(settings, name, value)
    messages = [message for message in run_checks(tags=["caches"], databases=[]) if message.id.startswith("cacheops.")]
    assert [message.id for message in messages] == [id]
    assert messages[0].msg.startswith(f"{name} ")
    assert messages[0].hint.startswith("Use ")


@pytest.mark.parametrize(("name", "id", "value"), WRONG)
def test_a_wrong_value_that_is_read_is_named(settings: Any, name: str, id: str, value: Any) -> None:
    setattr(settings, name, value)
    with pytest.raises(InvalidOption, match=rf"{name} .*Use "):
        getattr(conf, ATTRIBUTES[name])


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_a_right_value_passes(settings: Any, name: str, value: Any) -> None:
    setattr(settings, name, value)
    assert not [
        message for message in run_checks(tags=["caches"], databases=[]) if message.id == f"cacheops.{VALUES[name][0]}"
    ]
    getattr(conf, ATTRIBUTES[name])


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_default_is_right(settings: Any, setting: Setting[Any]) -> None:
    setattr(settings, setting.name, setting.default)
    assert setting.problem() == ""


def test_a_secret_is_not_shown(settings: Any) -> None:
    for value in (b"s3cret", "s3cret\n", ["s3cret"]):
        settings.CACHEOPS_METRICS_TOKEN = value
        assert "s3cret" not in found()["cacheops.E017"]


def test_a_value_is_read_once_until_a_setting_changes(settings: Any) -> None:
    settings.CACHEOPS_JITTER = 0.25
    assert conf.jitter == vars(conf)["jitter"] == 0.25
    settings.CACHEOPS_JITTER = 0.5
    assert "jitter" not in vars(conf)
    assert conf.jitter == 0.5


# --- Settings together ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "id", "names"),
    [
        ({"CACHEOPS": {"auth.nobody": {}}}, "E001", "auth.nobody"),
        ({"CACHEOPS": {"auth": {}}}, "E001", "auth"),
        ({"CACHEOPS": {"nowhere.*": {}}}, "W007", "nowhere"),
        ({"CACHEOPS": {"nowhere.thing": None}}, "W007", "nowhere"),
        ({"CACHEOPS": {"auth.*": {"ops": 5}}}, "E002", "auth"),
        ({"CACHEOPS": {"auth.*": {"ops": [["get"]]}}}, "E002", "auth"),
        ({"CACHEOPS": {"auth.*": {"level": 5}}}, "E002", "auth"),
        ({"CACHEOPS": {"auth.*": {"level": ("stale_ok", "30")}}}, "E002", "auth"),
        ({"CACHEOPS": {"auth.*": {"level": (["fresh"], 1)}}}, "E002", "auth"),
        ({"CACHEOPS": {"auth.*": {"lock": "False"}}}, "E002", "auth"),
        ({"CACHEOPS": {"auth.*": {"timeout": None}}}, "E002", "auth"),
        ({"CACHEOPS": {"auth.*": {1: 2}}}, "E002", "auth"),
        ({"CACHEOPS_DEFAULTS": {"ops": 5}}, "E003", "CACHEOPS_DEFAULTS"),
        ({"CACHEOPS_REGIONS": ("mars",)}, "E005", "mars"),
        ({"CACHES": {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}}, "E006", "default"),
        ({"CACHEOPS_REGIONS": ("us-west-2",), "CACHEOPS_LOCAL_REGION": "us-east-1"}, "E007", "us-east-1"),
        ({"CACHEOPS_REGIONS": {"default": ("mars",), "other": ("mars",)}}, "E005", "mars"),
        ({"CACHEOPS_REGIONS": {"defualt": ("us-east-1",), "other": ("us-east-1",)}}, "E024", "default"),
        ({"CACHEOPS_REGIONS": {"default": ("us-west-2",)}, "CACHEOPS_LOCAL_REGION": "us-east-1"}, "E007", "us-east-1"),
        ({"CACHEOPS_FOLLOWERS": {"replica": "default"}}, "E026", "both must be in DATABASES"),
        ({"CACHEOPS_WAIT_REPLICAS": {"us-east1": 1}}, "E021", "CACHEOPS_WAIT_REPLICAS"),
        ({"CACHEOPS_CLOUDWATCH_CLUSTERS": {"mars": "rover"}}, "E021", "CACHEOPS_CLOUDWATCH_CLUSTERS"),
        ({"CACHEOPS_WAIT_SECONDS": 2, "CACHEOPS_MARK_SECONDS": 2}, "E022", "CACHEOPS_WAIT_SECONDS"),
        ({"CACHEOPS_TIMEOUT": 3, "CACHEOPS_MARK_SECONDS": 2}, "E022", "CACHEOPS_TIMEOUT"),
        ({"CACHEOPS_REMOTE_TIMEOUT": 3, "CACHEOPS_MARK_SECONDS": 2}, "E022", "CACHEOPS_REMOTE_TIMEOUT"),
        pytest.param({"CACHEOPS_WAIT_REPLICAS": 0}, "W001", "us-east-1", marks=pytest.mark.servers),  # a cluster
    ],
)
def test_what_can_not_work_together_is_found_by_check(
    settings: Any, wrong: dict[str, Any], id: str, names: str
) -> None:
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("us-east-1",), ""
    if "CACHES" in wrong:
        settings.CACHEOPS_REGIONS = ("default",)
    for name, value in wrong.items():
        setattr(settings, name, value)
    assert names in found()[f"cacheops.{id}"]


@pytest.mark.parametrize(
    ("profiles", "defaults", "cached"),
    [
        ({}, {}, False),
        ({"auth.user": None}, {"ops": "all"}, False),
        ({"auth.user": {"timeout": 5}}, {}, False),
        ({"auth.user": {"ops": ()}}, {"ops": "all"}, False),
        ({"auth.user": {"timeout": 5}}, {"ops": "all"}, True),
        ({"auth.user": None, "auth.group": {"ops": "get"}}, {}, True),
    ],
)
def test_an_engine_that_calls_no_cache_is_told_where_models_are_cached(
    settings: Any, monkeypatch: pytest.MonkeyPatch, profiles: Any, defaults: Any, cached: bool
) -> None:
    monkeypatch.setattr("cacheops.checks.cacheops_of", lambda alias: SimpleNamespace(is_cached=False))
    settings.CACHEOPS, settings.CACHEOPS_DEFAULTS = profiles, defaults
    assert ("cacheops.E009" in found()) is cached


def test_one_wrong_setting_hides_no_other(settings: Any) -> None:
    settings.CACHEOPS_TRACING, settings.CACHEOPS_TIMEOUT = "no", "soon"
    settings.CACHEOPS = {"auth.nobody": {}}
    settings.CACHEOPS_CLOUDWATCH_CLUSTERS = {"mars": "rover"}
    assert {"cacheops.E012", "cacheops.E013", "cacheops.E001", "cacheops.E021"} == set(found())


@pytest.mark.parametrize("returned", [None, b"co", ["co"], "a{b", "a b"])
def test_what_a_function_returns_as_prefix_is_checked_when_it_is_read(settings: Any, returned: Any) -> None:
    settings.CACHEOPS_PREFIX = lambda: returned
    with pytest.raises(InvalidOption, match="CACHEOPS_PREFIX"):
        conf.prefix  # noqa: B018 - it is read


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CACHEOPS_ENABLE", "CACHEOPS_ENABLED"),
        ("CACHEOPS_REGION", "CACHEOPS_REGIONS"),
        ("CACHEOPS_PREFX", "CACHEOPS_PREFIX"),
        ("CACHEOPS_TIME_OUT", "CACHEOPS_TIMEOUT"),
        ("CACHEOPSENABLED", "CACHEOPS_ENABLED"),
        ("CACHEOPS_FLUSH_RETRY", "CACHEOPS_FLUSH_RETRY_SECONDS"),
    ],
)
def test_a_misspelt_setting_is_a_warning_with_the_nearest_name(settings: Any, name: str, meant: str) -> None:
    setattr(settings, name, True)
    (message,) = [message for message in run_checks(tags=["caches"], databases=[]) if message.id == "cacheops.W005"]
    assert not message.is_serious()
    assert message.msg.startswith(f"{name} ")
    assert message.hint.startswith(f"Did you mean {meant}?")


def test_an_unknown_setting_that_is_like_no_other_is_a_warning(settings: Any) -> None:
    settings.CACHEOPS_LRU = True
    assert "CACHEOPS_LRU" in found()["cacheops.W005"]


def test_a_profile_of_an_app_that_is_not_installed_is_a_warning_with_the_nearest_name(settings: Any) -> None:
    settings.CACHEOPS = {"devises.*": {"ops": "all"}}
    (message,) = [message for message in run_checks(tags=["cacheops"], databases=[]) if message.id == "cacheops.W007"]
    assert not message.is_serious()
    assert message.hint == "Did you mean 'devices'?"


# --- The command ------------------------------------------------------------------------------------------------------


def test_the_command_finds_all_that_is_wrong_at_once() -> None:
    """Nothing that is loaded before the checks reads a setting, and fails for it."""
    wrong = {name: values[0] for name, (_, values, _) in VALUES.items()}
    program = (
        "import sys; from math import nan\nfrom django.conf import settings\n"
        f"from django.core.management import execute_from_command_line\nWRONG = {wrong!r}\n"
        "settings.configure(INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes', 'cacheops'],\n"
        "    DATABASES={'default': {'ENGINE': 'cacheops.db.backends.sqlite3', 'NAME': ':memory:'}},\n"
        "    CACHES={'default': {'BACKEND': 'cacheops.backends.MemoryCache'}}, **WRONG)\n"
        "execute_from_command_line(['manage.py', 'check'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 1, done.stderr
    assert "SystemCheckError" in done.stderr
    for name, (id, _, _) in VALUES.items():
        assert re.search(rf"\(cacheops\.{id}\) {name} ", done.stderr), (name, done.stderr)


def test_every_check_is_expected_by_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [id for id in CHECKS if not re.search(rf'"(cacheops\.)?{id}"', tests)] == []
