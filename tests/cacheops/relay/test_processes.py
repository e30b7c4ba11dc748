"""`manage.py relay` as processes: they take turns, tell regions what they missed, and end when told."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from cacheops.conf import conf
from tests.cacheops.relay.conftest import REGION, Run, title, write
from tests.testapp.cached import is_hit
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installed")]

PROCESS = """
import sys, django
from django.conf import settings
settings.CACHEOPS_PREFIX = sys.argv[1]
django.setup()
from django.core.management import call_command
from cacheops.management.commands import relay
relay.QUEUE_SECONDS = 0.2
call_command("relay", "--region", sys.argv[2])
"""


@contextmanager
def relays_at_work(count: int) -> Iterator[list["subprocess.Popen[str]"]]:
    """Run so many relays of the region, as processes."""
    given = connection.settings_dict
    url = f"postgres://{given['USER']}@{given['HOST']}:{given['PORT']}/{given['NAME']}"
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "xyzsite.settings.test"}
    command = [sys.executable, "-c", PROCESS, conf.prefix, REGION]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_two_processes_take_turns(outside: Run) -> None:
    with relays_at_work(2) as both:
        title()
        write(outside, "First")
        until(lambda: title() == "First", "one of them tells")
        working = outside("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchone()[0]
        outside("SELECT pg_terminate_backend(%s)", [working])
        for process in both:
            assert process.poll() is None
        both[0].kill()
        assert both[1].stdout
        assert any(line.startswith("Telling") for line in both[1].stdout)
        until(lambda: is_hit("default", title), "the region keeps what it is told of")
        write(outside, "Second")
        until(lambda: title() == "Second", "the other one tells")
        both[1].send_signal(signal.SIGTERM)
        assert both[1].wait(10) == 0


def test_what_a_region_missed_is_brought_to_it_although_nobody_reads_there(outside: Run) -> None:
    def waits() -> bool:
        return outside("SELECT FROM cacheops_queuedinvalidation").fetchone() is not None

    with relays_at_work(1):
        for _ in range(2):  # it looks again and again
            queue = 'INSERT INTO cacheops_queuedinvalidation (region, "table", created_at) VALUES (%s, %s, now())'
            outside(queue, [REGION, "testapp_book"])
            assert waits()
            until(lambda: not waits(), "the relay has told the region")
