"""A project's own tests, several at a time, beside its running site: each database has entries of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).parents[3]
LIVE = "cacheops_live"

SETTINGS = """
import os
SECRET_KEY = "x"
INSTALLED_APPS = ["cacheops", "places"]
DATABASES = {{"default": {database!r}}}
CACHES = {{"default": {cache!r}}}
CACHEOPS = {{"places.*": {{"ops": "all", "timeout": 300}}}}
CACHEOPS_PREFIX = "stranger"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""

MODELS = """
from django.db import models

class Place(models.Model):
    name = models.CharField(max_length=20)
"""

TESTS = """
from django.test import TransactionTestCase
from cacheops import cached
from places.models import Place

@cached(timeout=60)
def first_name():
    return Place.objects.order_by("pk").values_list("name", flat=True).first()

class Case:
    def test_reads_its_own_rows(self):
        Place.objects.create(pk=1, name=self.name)
        for _ in range(60):
            assert [place.name for place in Place.objects.all()] == [self.name]
            assert Place.objects.get(pk=1).name == self.name
            assert Place.objects.count() == 1
            assert first_name() == self.name

class OneTest(Case, TransactionTestCase):
    name = "one"

class OtherTest(Case, TransactionTestCase):
    name = "other"
"""

SITE = """
import django; django.setup()
from places.models import Place
from places.tests import first_name
for _ in range(3):
    names = [place.name for place in Place.objects.all()]
    print(names, Place.objects.get(pk=1).name, Place.objects.count(), first_name())
"""


class Project:
    def __init__(self, folder: Path, database: dict[str, Any], cache: dict[str, Any]) -> None:
        self.folder = folder
        app = folder / "places"
        app.mkdir()
        (folder / "config.py").write_text(SETTINGS.format(database=database, cache=cache))
        (app / "__init__.py").touch()
        (app / "models.py").write_text(MODELS)
        (app / "tests.py").write_text(TESTS)

    def run(self, *arguments: str) -> str:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config", "PYTHONPATH": f"{self.folder}:{ROOT}"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def postgres(db: None) -> Iterator[dict[str, Any]]:
    given = connection.settings_dict
    names = {name: given[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    parameters = {**connection.get_connection_params(), "dbname": "postgres"}
    with psycopg.connect(
        autocommit=True, **{name: parameters[name] for name in ("dbname", "host", "port", "user") if name in parameters}
    ) as server:
        server.execute(f"CREATE DATABASE {LIVE}")
        yield {**names, "NAME": LIVE, "ENGINE": "cacheops.db.backends.postgresql"}
        server.execute(f"DROP DATABASE {LIVE} WITH (FORCE)")


@pytest.fixture
def sqlite(tmp_path: Path) -> dict[str, Any]:
    return {"NAME": str(tmp_path / "live.sqlite3"), "ENGINE": "cacheops.db.backends.sqlite3"}


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_tests_and_site_do_not_share_entries(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database: str
) -> None:
    cache = {name: settings.CACHES["us-west-2"][name] for name in ("BACKEND", "LOCATION", "OPTIONS")}
    project = Project(tmp_path_factory.mktemp("project"), request.getfixturevalue(database), cache)
    site = 'import django; django.setup()\nfrom places.models import Place\nPlace.objects.create(pk=1, name="live")\n'
    project.run("-m", "django", "migrate", "--run-syncdb", "--verbosity=0")
    project.run("-c", site)
    expected = "['live'] live 1 live\n" * 3
    assert project.run("-c", SITE) == expected
    told = project.run("-m", "django", "test", "--parallel", "2", "places")
    assert "Ran 2 tests" in told
    assert project.run("-c", SITE) == expected
