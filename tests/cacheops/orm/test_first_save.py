"""The first statement of a process is a save: pre_save is sent before Django loads the compilers for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

FIRST_SAVE = """
import django; django.setup()
from django.db import connection
from cacheops.signals import cache_invalidated
from tests.testapp.models import Country

with connection.schema_editor() as editor:
    editor.create_model(Country)
with connection.cursor() as cursor:
    cursor.execute("INSERT INTO testapp_country (code, name) VALUES ('CL', 'Chile')")
heard = []
def hear(sender, source, **kwargs):
    heard.append(str(source))
cache_invalidated.connect(hear)
Country(pk="CL", name="Peru").save(force_update=True)
print(heard[-1])
"""


@pytest.mark.servers  # it starts a process
def test_the_first_save_of_a_process_counts_as_a_save(tmp_path: Path) -> None:
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "xyzsite.settings.test",
        **dict.fromkeys((name for name in os.environ if name.startswith("REDIS_URL")), ""),
    }
    command = [sys.executable, "-c", FIRST_SAVE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["save"]
