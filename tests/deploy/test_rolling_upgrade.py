"""Two versions of an application side by side, of which one knows a column more: both read what either has written."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.compose import new_database
from xyzsite.localregions.manager import CHECKOUT

PROCESS = """
    import json, sys, django
    from django.conf import settings

    settings.configure(
        **json.loads(sys.argv[1]), INSTALLED_APPS=["django.contrib.contenttypes", "cacheops", "catalogue"]
    )
    django.setup()
    from catalogue.models import Item
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def names(**conditions):
        return list(Item.objects.filter(**conditions).order_by("name").values_list("name", flat=True))

    def is_hit(**conditions):
        with CaptureQueriesContext(connection) as ran:
            names(**conditions)
        return not [query for query in ran if "catalogue_item" in query["sql"]]

    for line in sys.stdin:
        print(json.dumps(eval(line)), flush=True)
"""
MODELS = """
    from django.db import models
    from cacheops import CachedQuerySet

    class Item(models.Model):
        name = models.CharField(max_length=20)
        {more}
        objects = CachedQuerySet.as_manager()
"""
COLUMN = 'kind = models.CharField(max_length=20, db_default="plain")'
FIRST = """
    from django.db import migrations, models

    class Migration(migrations.Migration):
        operations = [
            migrations.CreateModel(
                "Item", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20))]
            )
        ]
"""
SECOND = """
    from django.db import migrations, models

    class Migration(migrations.Migration):
        dependencies = [("catalogue", "0001_first")]
        operations = [
            migrations.AddField("item", "kind", models.CharField(max_length=20, db_default="plain"))
        ]
"""


class Version:
    """A running process of one version; it evaluates what it is sent."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, given: str, migrations: dict[str, str]) -> None:
        package = folder / "catalogue"
        more = COLUMN if len(migrations) > 1 else ""
        for name, text in {"models": MODELS.format(more=more), "__init__": ""}.items():
            write(package / f"{name}.py", text)
        for name, text in {"__init__": "", **migrations}.items():
            write(package / "migrations" / f"{name}.py", text)
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(PROCESS), given],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": f"{folder}:{CHECKOUT}"},
                text=True,
            )
        )

    def __call__(self, expression: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def create(self, **values: str) -> None:
        self(f"Item.objects.create(**{values}).pk")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


@pytest.fixture
def versions(settings: Any, tmp_path: Path) -> Iterator[tuple[Version, Version]]:
    """Return the running versions; the old one has made the table."""
    with contextlib.ExitStack() as stack:
        name = f"rolling_{os.getpid()}"
        new_database(stack, name)
        known = settings.DATABASES["default"]
        database = {key: known[key] for key in ("ENGINE", "USER", "PASSWORD", "HOST", "PORT") if key in known}
        given = json.dumps(
            {
                "DATABASES": {"default": {**database, "NAME": name}},
                "CACHES": {"default": settings.CACHES["us-west-2"]},
                "CACHEOPS": {"catalogue.*": {"ops": "all", "timeout": 300}},
                "CACHEOPS_PREFIX": name,
                "CACHEOPS_TIMEOUT": 2.0,
                "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
                "USE_TZ": True,
            }
        )
        old = Version(stack, tmp_path / "old", given, {"0001_first": FIRST})
        old('call_command("migrate", verbosity=0)')
        yield old, Version(stack, tmp_path / "new", given, {"0001_first": FIRST, "0002_kind": SECOND})


def test_a_column_is_added_while_both_versions_read_and_write(versions: tuple[Version, Version]) -> None:
    old, new = versions
    old.create(name="a")
    assert old("names()") == ["a"]
    new('call_command("migrate", verbosity=0)')
    assert old("names()") == new("names()") == ["a"]
    assert old("is_hit()")
    assert new("is_hit()")

    new.create(name="b", kind="special")
    assert old("names()") == new("names()") == ["a", "b"]

    assert new('names(kind="plain")') == ["a"]
    assert new('is_hit(kind="plain")')
    old.create(name="c")  # of a kind that it does not know, which the database gives it
    assert new('names(kind="plain")') == ["a", "c"]
    assert new('Item.objects.get(name="c").kind') == "plain"

    new("Item.objects.filter(name='a').update(kind='special')")
    assert new('names(kind="plain")') == ["c"]
    old("Item.objects.filter(name='b').delete()[0]")
    assert new('names(kind="special")') == ["a"]
    old("Item.objects.filter(name='a').update(name='z')")
    assert new('names(kind="special")') == ["z"]
    assert old("names()") == new("names()") == ["c", "z"]
    assert [old("is_hit()"), new("is_hit()"), new('is_hit(kind="special")')] == [True] * 3
