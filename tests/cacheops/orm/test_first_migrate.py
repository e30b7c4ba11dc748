"""The first `migrate`, in a process of its own, while a region does not answer."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
AWAY = "redis://127.0.0.1:1"

CODE = """
import django

django.setup()
from django.core.management import call_command

call_command("migrate", verbosity=0)
from cacheops.models import QueuedInvalidation
from locations.models import Location

queued = set(QueuedInvalidation.objects.values_list("region", "table"))
assert {("us-east-1", "locations_location"), ("us-east-1", "devices_device")} <= queued, queued
assert {region for region, _ in queued} == {"us-east-1"}, queued
QueuedInvalidation.objects.all().delete()
Location.objects.create(name="Harbor", code="harbor")
assert list(QueuedInvalidation.objects.values_list("table", flat=True)) == ["locations_location"]
"""


def test_it_ends_though_a_region_is_away_which_then_forgets_all(tmp_path: Path) -> None:
    """Nothing can be queued before its table is there; afterwards, in the same process, all is."""
    environment = {
        "PATH": os.defpath,
        "DJANGO_SETTINGS_MODULE": "xyzsite.settings.local",
        "DATABASE_URL": f"sqlite:///{tmp_path}/first.sqlite3",
        "REDIS_URL_US_EAST_1": AWAY,
        "REDIS_URL_US_WEST_2": "",  # empty, not absent: a developer's own .env must not name any
        "REDIS_URL_US_EAST_2": "",
    }
    command = [sys.executable, "-W", "error", "-c", CODE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "has no queue yet: run `manage.py migrate`" in done.stderr
