"""Two versions of an application side by side, of which one names a column more: both read what either has written."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
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
# The model forgets the column, which stays in the table.
THIRD = """
    from django.db import migrations

    class Migration(migrations.Migration):
        dependencies = [("catalogue", "0002_kind")]
        operations = [
            migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("item", "kind")])
        ]
"""
FOURTH = """
    from django.db import migrations

    class Migration(migrations.Migration):
        dependencies = [("catalogue", "0003_forget")]
        operations = [migrations.RunSQL("ALTER TABLE catalogue_item DROP COLUMN kind")]
"""
MIGRATIONS = {"0001_first": FIRST, "0002_kind": SECOND, "0003_forget": THIRD, "0004_drop": FOURTH}


class Version:
    """A running process of one release, the first to the fourth; it evaluates what it is sent."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, given: str, release: int) -> None:
        package = folder / "catalogue"
        more = COLUMN if release == 2 else ""
        for name, text in {"models": MODELS.format(more=more), "__init__": ""}.items():
            write(package / f"{name}.py", text)
        for name, text in {"__init__": "", **dict(list(MIGRATIONS.items())[:release])}.items():
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

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def migrate(self) -> None:
        self('call_command("migrate", verbosity=0)')


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


@pytest.fixture
def start(settings: Any, tmp_path: Path) -> Iterator[Callable[[int], Version]]:
    """Return a call that starts a process of a release, on a database of the test's own."""
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
                "CACHEOPS_PREFIX": tmp_path.name,  # each test's own
                "CACHEOPS_TIMEOUT": 2.0,
                "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
                "USE_TZ": True,
            }
        )
        yield lambda release: Version(stack, tmp_path / str(release), given, release)


def test_a_column_is_added_while_both_versions_read_and_write(start: Callable[[int], Version]) -> None:
    old = start(1)
    old.migrate()
    new = start(2)
    old.create(name="a")
    assert old("names()") == ["a"]
    new.migrate()
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


def test_a_column_is_removed_while_both_versions_read_and_write(start: Callable[[int], Version]) -> None:
    """A release that does not name it, then one whose migration drops it."""
    named = start(2)
    named.migrate()
    named.create(name="a", kind="special")
    assert named('names(kind="special")') == ["a"]
    assert named('names(kind="plain")') == []
    forgot = start(3)
    forgot.migrate()
    forgot.create(name="b")
    assert named('names(kind="plain")') == ["b"]
    forgot("Item.objects.filter(name='a').update(name='z')")
    assert named('names(kind="special")') == ["z"]
    assert named("names()") == forgot("names()") == ["b", "z"]
    assert [named("is_hit()"), named('is_hit(kind="special")'), forgot("is_hit()")] == [True] * 3

    named.end()
    last = start(4)
    last.migrate()
    assert forgot("names()") == last("names()") == ["b", "z"]
    assert [forgot("is_hit()"), last("is_hit()")] == [True] * 2
    forgot("Item.objects.get(name='z').delete()[0]")
    assert last("names()") == ["b"]
    last.create(name="c")
    assert forgot("names()") == ["b", "c"]
    assert [forgot("is_hit()"), last("is_hit()")] == [True] * 2
