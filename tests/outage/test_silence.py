"""A PostgreSQL that is frozen: nobody waits for it longer than they were told to, nor less for one that works."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.db.backends.signals import connection_created

from cacheops.db.backends.postgresql.patience import ServerSilent
from cacheops.regions.database_away import is_away
from cacheops.regions.silence import silent_databases
from cacheops.writing.unsettled import unsettled_writes
from tests.cacheops.orm import conftest as orm
from tests.outage.database import Database
from tests.testapp.models import Country
from tests.waiting import until
from xyzsite.settings.environment import database_at

ALIAS = "frozen"
WAKE_SECONDS = 60.0  # a test that waits for a frozen server fails, rather than stands still
ENGINES = ["cacheops.db.backends.postgresql", "xyzsite.databases.postgresql"]

_django_db_helper = orm._django_db_helper  # the alias is none that Django's test cases know
pytestmark = [pytest.mark.servers, pytest.mark.django_db]


@pytest.fixture(params=ENGINES)
def engine(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def wrapper(
    _django_db_helper: None, database: Database, settings: Any, engine: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Return a connection to the server, which this process knows besides its own."""
    settings.CACHEOPS_DATABASE_SILENCE = 0.2
    monkeypatch.setattr(connection_created, "receivers", [])  # those of django.contrib.postgres
    own = connections["default"].settings_dict
    given = {"ENGINE": engine, "OPTIONS": {"connect_timeout": 2}, "AUTOCOMMIT": True}
    connections.settings[ALIAS] = {**own, **database_at("DATABASE_URL", database.url), **given}
    silent_databases.settings_changed()
    watchdog = threading.Timer(WAKE_SECONDS, database.come_back)
    watchdog.start()
    yield connections[ALIAS]
    watchdog.cancel()
    database.come_back()
    connections[ALIAS].close()
    del connections[ALIAS]
    del connections.settings[ALIAS]
    silent_databases.settings_changed()


def ask(wrapper: Any, sql: str = "SELECT 1") -> Any:
    with wrapper.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_a_long_statement_of_a_server_that_works_is_waited_for(wrapper: Any) -> None:
    assert ask(wrapper, "SELECT 1 FROM pg_sleep(0.8)") == 1
    assert not silent_databases.is_silent(ALIAS)


def test_nobody_waits_while_the_server_is_frozen(wrapper: Any, database: Database) -> None:
    assert ask(wrapper) == 1
    database.freeze()
    with pytest.raises(OperationalError) as caught:
        ask(wrapper)  # it ends: nobody wakes the server before
    assert isinstance(caught.value.__cause__, ServerSilent)
    assert is_away(caught.value)

    refused: list[BaseException] = []
    threads = [threading.Thread(target=lambda: refused.append(error_of(ALIAS))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [is_away(error) for error in refused] == [True] * 8
    assert [error for error in refused if "another caller" in str(error)], "they don't all wait"

    wrapper.close()
    database.come_back()
    until(lambda: not error_of(ALIAS), "it answers, and is asked")
    assert ask(wrapper) == 1
    assert not silent_databases.is_away(ALIAS)


def error_of(alias: str) -> Any:
    """Return the error of a question by a new connection, None for an answer."""
    wrapper = connections[alias]
    try:
        ask(wrapper)
    except OperationalError as error:
        return error
    else:
        return None
    finally:
        wrapper.close()


def test_who_waits_while_another_has_found_it_silent_gives_up_too(wrapper: Any, database: Database) -> None:
    ask(wrapper)
    wrapper.connection.patience = 3600.0
    database.freeze()
    silent_databases.gone(ALIAS)
    with pytest.raises(OperationalError):
        ask(wrapper)


def write_and_freeze(database: Database) -> None:
    """Have the server freeze just before a commit is sent."""
    with transaction.atomic(using=ALIAS):
        Country.objects.using(ALIAS).create(code="xx", name="Nowhere")
        database.freeze()


@pytest.mark.parametrize("engine", ENGINES[:1])
def test_marks_of_a_commit_that_a_frozen_server_has_are_renewed_until_it_answers(
    wrapper: Any, database: Database
) -> None:
    with wrapper.schema_editor() as editor:
        editor.create_model(Country)
    with pytest.raises(OperationalError):
        write_and_freeze(database)
    assert len(unsettled_writes.intents) == 1
    placed = unsettled_writes.intents[0].place
    calls: list[None] = []
    unsettled_writes.intents[0].place = lambda: calls.append(None) or placed()  # type: ignore[method-assign, func-returns-value]
    unsettled_writes.renew()
    assert len(unsettled_writes.intents) == len(calls) == 1

    wrapper.close()
    database.come_back()
    until(lambda: not error_of(ALIAS), "it answers")
    assert ask(wrapper, f"SELECT count(*) FROM {Country._meta.db_table}") in (0, 1), "nobody knows which"
    unsettled_writes.renew()
    assert (len(unsettled_writes.intents), len(calls)) == (0, 2)
    with wrapper.schema_editor() as editor:
        editor.delete_model(Country)
