"""Our receivers and cursors take whatever Django's own would take: code of others calls them, too."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connections, transaction
from django.db.models.signals import post_delete, post_migrate, post_save, pre_save
from django.test.signals import setting_changed

from cacheops.compat import saving
from cacheops.patterns import WriteThroughCache
from cacheops.signals import cache_invalidated, rows_changed
from tests.testapp.models import Book, Tag

pytestmark = pytest.mark.django_db(databases="__all__")

# As Django sends them, as django-oscar does, and the least that a sender may say.
ARGUMENTS: list[dict[str, Any]] = [
    {"raw": False, "using": "default", "update_fields": None},
    {"raw": False, "using": "default"},
    {},
]


@pytest.mark.parametrize("database", ["default"])
@pytest.mark.parametrize("given", ARGUMENTS)
def test_signals_of_a_save_can_be_sent_by_others(given: dict[str, Any], library: str) -> None:
    book = Book.objects.using(library).get(pk=1)
    pre_save.send(sender=Book, instance=book, **given)
    post_save.send(sender=Book, instance=book, created=False, **given)
    pre_save.send(sender=Book, instance=book, **given)  # and none that ends it
    Book.objects.filter(pk=1).update(title="other")
    assert Book.objects.get(pk=1).title == "other"


@pytest.fixture
def through(library: str) -> Iterator[Any]:
    cache: Any = WriteThroughCache(Book, "book:{}".format, using=library)
    yield cache
    for signal in (post_save, post_delete):
        signal.disconnect(sender=Book, dispatch_uid=f"cacheops.through.{id(cache)}")


@pytest.fixture
def read_back(library: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What `cacheops.compat`, which is installed for the test, reads of books that were saved."""
    read: list[Any] = []
    monkeypatch.setattr(saving, "profile_of", lambda model: SimpleNamespace(on_save="title") if model is Book else None)
    monkeypatch.setattr(saving, "_read", lambda *arguments: read.append(arguments))
    post_save.connect(saving.cache_saved, dispatch_uid="cacheops.compat")
    yield read
    post_save.disconnect(dispatch_uid="cacheops.compat")


@pytest.mark.parametrize("database", ["default"])
@pytest.mark.parametrize("given", ARGUMENTS)
def test_a_write_through_cache_hears_them(given: dict[str, Any], through: Any, library: str) -> None:
    book = Book.objects.using(library).get(pk=1)
    post_save.send(sender=Book, instance=book, created=False, **given)
    post_delete.send(sender=Book, instance=book, **given)


@pytest.mark.parametrize("given", ARGUMENTS)
def test_a_saved_row_is_read_back_where_it_is_known_in_which_database(
    given: dict[str, Any], read_back: list[Any], library: str
) -> None:
    given = {**given, **({"using": library} if "using" in given else {})}
    book = Book.objects.using(library).get(pk=1)
    post_save.send(sender=Book, instance=book, created=False, **given)
    assert read_back == [(Book, "title", book.title, library)]
    post_save.send(sender=Book, instance=Book(title="of no database"))
    assert len(read_back) == 1


LEAST: dict[Any, dict[str, Any]] = {  # that a sender may say
    pre_save: {"instance": Book()},
    post_save: {"instance": Book()},
    post_delete: {"instance": Book()},
    post_migrate: {},
    setting_changed: {"setting": "DEBUG", "value": True},
    rows_changed: {},
}


@pytest.mark.parametrize("database", ["default"])
def test_every_receiver_takes_the_least_that_a_sender_may_say(through: Any, read_back: list[Any], library: str) -> None:
    senders = {post_migrate: apps.get_app_config("cacheops")}
    called = set()
    for signal, least in LEAST.items():
        sender: Any = senders.get(signal, Book)
        for receiver in signal._live_receivers(sender)[0]:
            if receiver.__module__.startswith("cacheops"):
                receiver(signal=signal, sender=sender, **least)
                called.add((receiver.__module__, receiver.__name__))
    assert called == {
        ("cacheops.compat.saving", "cache_saved"),
        ("cacheops.conf", "_settings_changed"),
        ("cacheops.orm.collector", "collect"),
        ("cacheops.orm.optimistic_save", "forget_save"),
        ("cacheops.orm.optimistic_save", "note_save"),
        ("cacheops.patterns.write_through", "_saved"),
        ("cacheops.relay.publication", "publish_new_tables"),
    }


@pytest.mark.parametrize("database", ["default"])
@pytest.mark.servers
def test_a_stream_takes_its_arguments_by_name(library: str) -> None:
    with connections[library].cursor() as cursor:
        assert list(cursor.stream(query="SELECT 1")) == [(1,)]
        with cursor.copy(statement="COPY (SELECT 2) TO STDOUT") as copy:
            assert [tuple(row) for row in copy.rows()] == [("2",)]


def test_a_receiver_that_raises_does_not_make_a_committed_write_fail(
    library: str, caplog: pytest.LogCaptureFixture
) -> None:
    hooks: list[str] = []

    def fail(sender: Any, **arguments: Any) -> None:
        raise ValueError("of a receiver")

    cache_invalidated.connect(fail)
    try:
        with transaction.atomic(using=library):
            Tag.objects.using(library).create(name="kept")
            transaction.on_commit(lambda: hooks.append("ran"), using=library)
    finally:
        cache_invalidated.disconnect(fail)
    assert Tag.objects.using(library).filter(name="kept").exists()
    assert hooks == ["ran"]
    assert "of a receiver" in caplog.text
