"""What the panel is told in one process, another real process hears within LOOK_SECONDS."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from cacheops.invalidation import invalidate_model
from cacheops.models import Control
from cacheops.regions.switches import LOOK_SECONDS
from devices.models import Device
from tests.cacheops.panel.conftest import PANEL, World

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

READER = Path(__file__).with_name("reader.py")
Ask = Callable[..., dict[str, str]]


@pytest.fixture
def other(world: World, settings: Any) -> Iterator[Ask]:
    """Start a process on the suite's servers and database; return a call that has it read the device."""
    if connection.vendor != "postgresql":
        pytest.skip("a SQLite in memory is its process's own")
    given = connection.settings_dict
    url = f"postgres://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT']}/{given['NAME']}"
    root = str(settings.BASE_DIR)
    process = subprocess.Popen(
        [sys.executable, READER, world.prefix, str(world.device.pk)],
        env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "xyzsite.settings.test", "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    told = process.stdout

    def ask(line: str = "") -> dict[str, str]:
        process.stdin.write(line + "\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        answer: dict[str, str] = json.loads(told.readline())
        return answer

    yield ask
    process.communicate(timeout=30)  # its standard input is closed: it ends
    assert process.returncode == 0
    invalidate_model(Device)


def act(client: Client, slug: str, **values: Any) -> None:
    """Confirm an action; then wait for as long as another process may take to hear of it."""
    assert client.post(f"{PANEL}actions/{slug}/", values).status_code == 302
    time.sleep(LOOK_SECONDS)


def test_a_pause_and_its_end_are_heard(world: World, root: Client, other: Ask) -> None:
    assert [other()["did"], other()["did"]] == ["miss", "hit"]
    act(root, "pause", model="devices.device", seconds=3600)
    assert [other()["did"], other()["did"]] == ["bypass", "bypass"]
    Device.objects.filter(pk=world.device.pk).update(name="Written meanwhile")
    act(root, "resume", model="devices.device")
    assert [(told["did"], told["name"]) for told in (other(), other())] == [
        ("miss", "Written meanwhile"),
        ("hit", "Written meanwhile"),
    ]
    act(root, "pause", model="devices.device", seconds=3600)
    assert other()["did"] == "bypass"
    Control.objects.update(until=timezone.now() - timedelta(seconds=1))  # as when its time is over
    time.sleep(LOOK_SECONDS)
    assert other()["did"] == "hit"


def test_a_circuit_is_closed_once(world: World, root: Client, other: Ask) -> None:
    assert other("open")["circuit"] == "open"
    act(root, "reset-breaker", region="us-west-2")
    assert other()["circuit"] == "closed"
    assert other("open")["circuit"] == "open"
    time.sleep(LOOK_SECONDS)
    assert other()["circuit"] == "open"
