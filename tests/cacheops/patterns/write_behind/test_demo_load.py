"""manage.py demo_load: what it takes, and that Ctrl-C leaves nothing behind."""

import io
import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.live_server_helper import LiveServer

from cacheops.patterns.write_behind.cache import dead_letters
from devices.buffering import reading_buffer
from devices.models import Device
from tests.waiting import until


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let commits happen, without the flush of all tables that pytest-django pays for it: what is made is removed."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def _ctrl_c_interrupts() -> Iterator[None]:
    """Have SIGINT interrupt: a suite that a shell has put into the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
@pytest.mark.parametrize("region", ["us-west-2"], indirect=True)
def test_ctrl_c_ends_it_with_an_account_and_no_reading_is_left_waiting(
    region: str, settings: Any, live_server: LiveServer
) -> None:
    settings.CACHEOPS_FLUSH_SECONDS = 3600
    reading_buffer.buffer.take("worker", 1, 0, 0)  # one lives, so readings are accepted

    def interrupt() -> None:
        until(lambda: reading_buffer.buffer.stats().depth >= 3, "accepted readings wait")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    said = io.StringIO()
    with pytest.raises(CommandError, match="Interrupted") as ended:
        call_command(
            "demo_load", "--url", live_server.url, "--devices", "2", "--posters", "1", "--readers", "1", stdout=said
        )
    assert ended.value.returncode == 130
    account = re.search(r"acknowledged (\d+) = stored (\d+); lost = 0, doubled = 0, wrong = 0", said.getvalue())
    assert account is not None, said.getvalue()
    assert int(account[1]) >= 3
    assert "Interrupted: no more calls" in said.getvalue()
    assert reading_buffer.buffer.stats().depth == 0
    assert not dead_letters().exists()
    assert not Device.objects.filter(serial__startswith="LOAD-").exists()


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--seconds", "0", "0 is not above 0"),
        ("--seconds", "-5", "-5 is not above 0"),
        ("--seconds", "nan", "nan is not above 0"),
        ("--seconds", "long", "'long' is no number"),
        ("--rate", "0", "0 is not above 0"),
        ("--pages", "0", "0 is not above 0"),
        ("--devices", "0", "0 is less than 1"),
        ("--posters", "0", "0 is less than 1"),
        ("--readers", "-1", "-1 is less than 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(option: str, value: str, reason: str) -> None:
    with pytest.raises(CommandError, match=f"argument {option}: {reason}"):
        call_command("demo_load", "--url", "http://127.0.0.1:1", option, value)
