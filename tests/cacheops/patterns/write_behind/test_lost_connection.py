"""A worker whose server has ended one of its connections: a follower's has one to the replica as well."""

import io
import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from cacheops.management.retries import Retries
from tests.cacheops.orm import conftest as orm
from tests.cacheops.patterns.write_behind.conftest import Note, Sink

pytestmark = pytest.mark.django_db
_django_db_helper = orm._django_db_helper  # no transaction, which would end with the connection


@pytest.fixture
def second(_django_db_helper: None) -> Iterator[str]:
    """Return the alias of another connection to the database, which its server has just ended."""
    connections.settings["second"] = {**connections["default"].settings_dict}
    with connections["second"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", pid)
    yield "second"
    connections["second"].close()
    del connections["second"]
    del connections.settings["second"]


def end_worker() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("region", ["us-west-2"], indirect=True)
def test_a_worker_goes_on_whichever_connection_it_has_lost(
    cache: Any, sink: Sink, second: str, settings: Any, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(notes: Sequence[Note]) -> int:
        with connections[second].cursor() as cursor:
            cursor.execute("SELECT 1")
        end_worker()
        return sink.write(notes)

    for number in (signal.SIGTERM, signal.SIGINT):
        request.addfinalizer(partial(signal.signal, number, signal.getsignal(number)))
    settings.CACHEOPS_FLUSH_SECONDS = settings.CACHEOPS_FLUSH_RETRY_SECONDS = 0
    cache.writer = write
    assert cache.write(Note(1)).buffered
    failures: list[Exception] = []

    def failed(self: Retries, error: Exception) -> float:
        failures.append(error)
        if len(failures) == 3:
            end_worker()
        return 0.0

    monkeypatch.setattr(Retries, "failed", failed)
    call_command("flush_writes", stdout=io.StringIO())
    assert len(failures) == 1  # by the writer, or the look at the queue, whichever was first
    assert sorted(sink.stored) == [1]
