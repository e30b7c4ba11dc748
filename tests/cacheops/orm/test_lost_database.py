"""A database that goes away under a cached read: the caller sees Django's errors, whichever statement met it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import Error, InterfaceError, OperationalError, connection, transaction

from cacheops.db.backends.postgresql import base
from cacheops.instrumentation.request_stats import collect_request_stats
from cacheops.regions import direct_sql, regions
from cacheops.regions.database_away import away_databases, is_away
from tests.testapp import world
from tests.testapp.models import Book


@pytest.fixture
def lost(_django_db_helper: None, cache: str) -> Iterator[None]:
    """Fill the library, have a read find it, and end the connection's server process."""
    world.empty("default")
    world.fill("default")
    Book.objects.get(pk=1)
    settings = connection.get_connection_params()
    names = {name: settings[name] for name in ("host", "port", "user", "password", "dbname") if name in settings}
    with psycopg.connect(**names) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
    yield
    connection.close()
    world.empty("default")


def read_when_the_queue_is_due() -> Any:
    regions.local.outbox.recheck()
    return Book.objects.get(pk=1)


def look_for_a_table() -> Any:
    return direct_sql.has_table("default", "nobodys_table")


@pytest.mark.django_db
@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("act", [read_when_the_queue_is_due, look_for_a_table])
def test_a_read_raises_djangos_error(act: Any, settings: Any) -> None:
    settings.CACHEOPS_WHEN_DATABASE_AWAY = "fail"
    with pytest.raises(OperationalError):
        act()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("lost")
def test_what_the_cache_holds_is_served_where_the_settings_say_so(settings: Any) -> None:
    settings.CACHEOPS_WHEN_DATABASE_AWAY = "serve"
    with collect_request_stats() as stats:
        assert read_when_the_queue_is_due() == Book(pk=1)
    assert stats.hits == 1
    assert stats.unchecked
    assert not away_databases.may_ask("default"), "the others don't wait for it"
    assert Book.objects.nocache().get(pk=2) == Book(pk=2), "the thread has a new connection"
    assert away_databases.may_ask("default"), "it answers: it is asked again at once"
    with collect_request_stats() as stats:
        assert Book.objects.get(pk=1) == Book(pk=1)
    assert (stats.hits, stats.unchecked) == (1, 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("lost")
def test_a_connection_that_was_lost_between_two_requests_is_no_outage(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CACHEOPS_WHEN_DATABASE_AWAY = "serve"
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    connection.health_check_enabled, connection.health_check_done = True, False
    with collect_request_stats() as stats:
        assert read_when_the_queue_is_due() == Book(pk=1)
    assert (stats.hits, stats.unchecked) == (1, 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("is_known", [True, False])
def test_a_save_that_can_not_be_sent_marks_nothing(is_known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book.objects.get(pk=1)
    if is_known:
        connection.close()
    else:  # it is found by the check of a request's first statement
        monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
        connection.health_check_enabled, connection.health_check_done = True, False
    with monkeypatch.context() as patch:
        patch.setattr(connection, "get_new_connection", refuse)
        with pytest.raises(OperationalError):
            book.save()
    with collect_request_stats() as stats:
        assert Book.objects.get(pk=1) == book
    assert stats.hits == 1


def refuse(parameters: Any) -> Any:
    raise psycopg.OperationalError("connection refused")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("lost")
def test_a_transaction_that_is_lost_serves_nothing(settings: Any) -> None:
    settings.CACHEOPS_WHEN_DATABASE_AWAY = "serve"
    with pytest.raises((OperationalError, InterfaceError)), transaction.atomic():
        read_when_the_queue_is_due()


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_lost_while_it_is_made_is_an_outage_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection.close()
    with monkeypatch.context() as patch:
        patch.setattr(base, "IDENTITY_SQL", "SELECT pg_terminate_backend(pg_backend_pid()), {relayed}, {settings}")
        with pytest.raises(Error) as caught, transaction.atomic():
            Book.objects.nocache().count()
    assert is_away(caught.value)
    assert connection.connection is None
    with transaction.atomic():
        assert Book.objects.nocache().count() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("state", ["08006", "25006", "53100", "53300", "57P01", "57P02", "57P03", "57P05"])
def test_a_server_that_says_that_it_can_do_nothing_is_away(state: str) -> None:
    with pytest.raises(Error) as caught, connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")
    assert is_away(caught.value)


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_is_wrong_or_late_is_no_outage() -> None:
    for statement in ("SELECT * FROM nowhere", "SET statement_timeout = 1; SELECT pg_sleep(1)"):
        with pytest.raises(Exception, match=r"nowhere|statement timeout") as caught, connection.cursor() as cursor:
            cursor.execute(statement)
        assert not is_away(caught.value)
    connection.close()
