"""Invalidation by hand, blocks without it, the command, the checks, and the optional app for newcomers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import SimpleTestCase
from django.test.utils import CaptureQueriesContext

from cacheops import bypassed, invalidate_all, invalidate_model, invalidate_obj, no_invalidation
from cacheops.engine import Engine
from cacheops.exceptions import InvalidOption
from cacheops.invalidation import cached_databases
from cacheops.monitoring.collectors import queue_gauges
from cacheops.orm.connection import cacheops_of
from cacheops.panel import switches
from locations.models import Location, Membership

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def places() -> list[Location]:
    return [Location.objects.create(name=code.title(), code=code) for code in ("harbor", "ridge")]


def changed_behind_its_back(places: list[Location]) -> None:
    """Fill the cache, then write without invalidating."""
    for _ in range(2):
        assert [Location.objects.get(pk=place.pk).name for place in places] == ["Harbor", "Ridge"]
    with no_invalidation():
        Location.objects.update(name="New")
    assert [Location.objects.get(pk=place.pk).name for place in places] == ["Harbor", "Ridge"]


def names(places: list[Location]) -> list[str]:
    return [Location.objects.get(pk=place.pk).name for place in places]


def test_no_invalidation_with_parentheses_and_without_around_blocks_and_functions(places: list[Location]) -> None:
    @no_invalidation
    def rename(name: str) -> int:
        return Location.objects.update(name=name)

    changed_behind_its_back(places)
    with no_invalidation, no_invalidation():
        pass
    assert no_invalidation()(rename)("Untold") == 2
    assert names(places) == ["Harbor", "Ridge"]
    Location.objects.update(name="Told")
    assert names(places) == ["Told", "Told"]


def test_an_object_alone(places: list[Location]) -> None:
    changed_behind_its_back(places)
    invalidate_obj(places[0])
    assert names(places) == ["New", "Ridge"]


def test_a_model(places: list[Location]) -> None:
    changed_behind_its_back(places)
    invalidate_model(Membership)
    assert names(places) == ["Harbor", "Ridge"]
    invalidate_model(Location)
    assert names(places) == ["New", "New"]


FOR_EACH_DATABASE: list[Callable[[], Any]] = [
    invalidate_all,
    lambda: invalidate_model(Location),
    queue_gauges,
    lambda: switches.pause(Location, 1.0, "test"),
    lambda: switches.reset_breaker("us-east-1", "test"),
]


@pytest.mark.parametrize("run", FOR_EACH_DATABASE)
def test_what_goes_to_each_database_leaves_out_those_that_a_test_case_forbids(
    run: Callable[[], Any], places: list[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Case(SimpleTestCase):
        databases: Any = {"default"}

    assert "other" in cached_databases()
    changed_behind_its_back(places)
    monkeypatch.setattr(cacheops_of("other"), "_known", None)  # never connected
    Case._add_databases_failures()
    try:
        with Engine().in_use():
            run()
            assert run is not invalidate_all or names(places) == ["New", "New"]
    finally:
        Case._remove_databases_failures()


def test_everything(places: list[Location]) -> None:
    changed_behind_its_back(places)
    invalidate_all()
    assert names(places) == ["New", "New"]


@pytest.mark.parametrize(
    ("what", "says", "after"),
    [
        ("all", "Invalidated everything.", ["New", "New"]),
        ("locations", "Invalidated every model of locations.", ["New", "New"]),
        ("locations.location", "Invalidated locations.Location.", ["New", "New"]),
        ("locations.location.{pk}", "Invalidated locations.Location {pk}.", ["New", "Ridge"]),
    ],
)
def test_the_command(places: list[Location], what: str, says: str, after: list[str]) -> None:
    changed_behind_its_back(places)
    out = StringIO()
    call_command("invalidate", what.format(pk=places[0].pk), stdout=out)
    assert out.getvalue().strip() == says.format(pk=places[0].pk)
    assert names(places) == after


@pytest.mark.parametrize("what", ["nowhere", "locations.nothing", "locations.location.x", "locations.location.999999"])
def test_the_command_says_what_it_does_not_know(what: str) -> None:
    with pytest.raises(CommandError, match=what):
        call_command("invalidate", what)


def test_a_query_chooses_for_itself(places: list[Location]) -> None:
    def queries(queryset: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            list(queryset.all())
        return len(captured)

    assert [queries(Location.objects.nocache()) for _ in range(2)] == [1, 1]
    assert [queries(Location.objects.cache(ops="fetch", timeout="real_time")) for _ in range(2)] == [1, 0]
    with bypassed():
        assert queries(Location.objects.all()) == 1
    assert Location.objects.invalidated_update(name="New") == 2
    with pytest.raises(InvalidOption, match="no operation"):
        Location.objects.cache(ops="guess")


@pytest.mark.parametrize(
    ("settings_now", "id"),
    [
        ({"CACHEOPS": {"locations.nothing": {}}}, "cacheops.E001"),
        ({"CACHEOPS": {"nowhere.*": {}}}, "cacheops.W007"),
        ({"CACHEOPS": {"locations.*": {"ops": "guess"}}}, "cacheops.E002"),
        ({"CACHEOPS": {"locations.*": {"timeout": -1}}}, "cacheops.E002"),
        ({"CACHEOPS": {"locations.*": {"timeout": "for_ever"}}}, "cacheops.E002"),
        ({"CACHEOPS": {"locations.*": {"time_out": 1}}}, "cacheops.E002"),
        ({"CACHEOPS_DEFAULTS": {"level": "low"}}, "cacheops.E003"),
        ({"CACHEOPS_TTL_STRATEGIES": {"mine": "soon"}}, "cacheops.E004"),
        ({"CACHEOPS_REGIONS": ("eu-west-1",), "CACHEOPS_LOCAL_REGION": "eu-west-1"}, "cacheops.E005"),
        ({"CACHEOPS_LOCAL_REGION": "eu-west-1"}, "cacheops.E007"),
        ({"CACHEOPS_ON_UNREACHABLE": "hope"}, "cacheops.E008"),
        ({"CACHEOPS_FLUSH_ATTEMPTS": 0}, "cacheops.E011"),
        ({"CACHEOPS_FLUSH_BATCH": 0}, "cacheops.E011"),
        ({"CACHEOPS_FLUSH_BATCH": -1}, "cacheops.E011"),
        ({"CACHEOPS_FLUSH_BATCH": 1.5}, "cacheops.E011"),
        ({"CACHEOPS_FLUSH_SECONDS": -1}, "cacheops.E011"),
        ({"CACHEOPS_FLUSH_SECONDS": "30"}, "cacheops.E011"),
        ({"CACHEOPS_FLUSH_RETRY_SECONDS": -1}, "cacheops.E011"),
        ({"CACHEOPS_BUFFER_BOUND": -1}, "cacheops.E011"),
    ],
)
def test_a_wrong_setting_is_found_by_check(settings: Any, settings_now: dict[str, Any], id: str) -> None:
    assert not [message for message in run_checks(tags=["caches"]) if message.id.startswith("cacheops.E")]
    for name, value in settings_now.items():
        setattr(settings, name, value)
    assert id in [message.id for message in run_checks(tags=["caches"])]


OURS = {"ENGINE": "cacheops.db.backends.sqlite3", "NAME": "db.sqlite3"}
MEMORY = {"NAME": ":memory:"}


@pytest.mark.servers
@pytest.mark.parametrize(
    ("databases", "id"),
    [
        ({"default": {"ENGINE": "django.db.backends.sqlite3", **MEMORY}}, "cacheops.E009"),
        ({"default": OURS, "again": OURS}, "cacheops.E010"),
        ({"default": OURS, "replica": {**OURS, "HOST": "far", "TEST": {"MIRROR": "default"}}}, "cacheops.E010"),
        ({"default": OURS, "again": {**OURS, "ENGINE": "django.db.backends.sqlite3"}}, ""),
        ({"default": OURS | MEMORY, "other": OURS | MEMORY}, ""),
        ({"default": OURS, "tenant": OURS | {"OPTIONS": {"options": "-c search_path=tenant"}}}, ""),
        ({"default": OURS, "other": OURS | {"NAME": "other.sqlite3"}}, ""),
    ],
)
def test_databases_that_the_cache_can_not_follow_are_found_by_check(
    databases: dict[str, Any], id: str, tmp_path: Path
) -> None:
    program = (
        "import django, json, sys; from django.conf import settings\n"
        "from xyzsite.settings import test as base\n"
        "values = {name: getattr(base, name) for name in dir(base) if name.isupper()}\n"
        "values['DATABASES'] = json.loads(sys.argv[1])\n"
        "settings.configure(**values); django.setup()\n"
        "from django.core.checks import run_checks\n"
        "print([message.id for message in run_checks()])\n"
    )
    found = run_python(program, json.dumps(databases), folder=tmp_path)  # from Django 6.1 on it makes their files
    assert [one for one in ("cacheops.E009", "cacheops.E010") if one in found] == ([id] if id else [])


def run_python(program: str, *arguments: str, folder: Path | None = None) -> str:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
