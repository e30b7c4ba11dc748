"""manage.py flush_writes, by hand and as a process."""

import io
import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cacheops.patterns.write_behind.cache import WriteBehindCache, dead_letters
from tests.cacheops.patterns.write_behind.conftest import Note, Sink
from tests.waiting import LIMIT
from xyzsite.localregions.manager import CHECKOUT

Cache = WriteBehindCache[Note, int]


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("flush_writes", *arguments, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.django_db
def test_once_writes_everything_and_buries_what_is_refused(cache: Cache, sink: Sink) -> None:
    sink.bad = {2}
    cache.write_many([Note(1), Note(2)])
    assert "notes in" in run("--state")
    assert "2 wait" in run("--state")
    assert "notes: wrote" in run("--once")
    assert sorted(sink.stored) == [1]
    assert "0 wait" in run("--state")
    assert "; 1 worker; 1 dead letter\n" in run("--state")
    cache.buffer.take("another", 1, 0.0, 0.0)
    assert "; 2 workers; " in run("--state")
    shown = run("--dead")
    assert "Refused: 2 is bad" in shown
    assert '"number":2' in shown
    assert "1 dead letter." in shown


@pytest.mark.django_db
def test_dead_letters_are_tried_again_when_the_reason_is_gone(cache: Cache, sink: Sink) -> None:
    sink.bad = {1, 2}
    cache.write_many([Note(1), Note(2)])
    run("--once")
    sink.bad = {2}
    shown = run("--retry-dead")
    assert "is still refused: 2 is bad" in shown
    assert "Wrote 1; 1 dead letter left." in shown
    assert sorted(sink.stored) == [1]
    assert "2" in dead_letters().get().payload


def test_a_region_that_does_not_answer_is_told_by_name(cache: Cache, settings: Any) -> None:
    entry = settings.CACHES["us-west-2"]
    settings.CACHES = {**settings.CACHES, "us-west-2": {**entry, "LOCATION": ["redis://127.0.0.1:1/0"]}}
    settings.CACHEOPS_REGIONS, settings.CACHEOPS_LOCAL_REGION = ("us-west-2",), "us-west-2"
    with pytest.raises(CommandError, match="do not answer"):
        run("--state")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_when_asked(number: int) -> None:
    worker = start_worker()
    assert worker.stdout is not None
    with worker.stdout:
        assert worker.stdout.readline() == "Bringing readings to the database.\n"
        worker.send_signal(number)
        assert worker.stdout.read() == "Stopped.\n"
    assert worker.wait(LIMIT) == 0


def test_a_worker_that_drains_writes_all_that_waits_before_it_ends() -> None:
    worker = start_worker("--drain")
    assert worker.stdout is not None
    with worker.stdout:
        assert worker.stdout.readline() == "Bringing readings to the database.\n"
        worker.send_signal(signal.SIGTERM)
        assert re.fullmatch(r"Stopped\.\nreadings: wrote 0 in [\d.]+ s\.\n", worker.stdout.read())
    assert worker.wait(LIMIT) == 0


def test_without_servers_there_is_nothing_to_do() -> None:
    worker = start_worker(REDIS_URL_US_EAST_1="")
    assert worker.stdout is not None
    with worker.stdout:
        assert "There is nothing to do: the region's cache is in this process's memory" in worker.stdout.read()
    assert worker.wait(LIMIT) == 0


def start_worker(*arguments: str, **changes: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(CHECKOUT / "manage.py"), "flush_writes", *arguments]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "xyzsite.settings.test", **changes}
    return subprocess.Popen(command, env=environment, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
