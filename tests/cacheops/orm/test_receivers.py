"""Our receivers and cursors take whatever Django's own would take: code of others calls them, too."""

from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models.signals import post_delete, post_save, pre_save

from cacheops.signals import cache_invalidated
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


@pytest.mark.parametrize("database", ["default"])
@pytest.mark.parametrize("given", ARGUMENTS)
def test_a_write_through_cache_hears_them(given: dict[str, Any], library: str) -> None:
    from cacheops.patterns import WriteThroughCache

    cache: Any = WriteThroughCache(Book, "book:{}".format, using=library)
    book = Book.objects.using(library).get(pk=1)
    post_save.send(sender=Book, instance=book, created=False, **given)
    post_delete.send(sender=Book, instance=book, **given)
    post_save.disconnect(sender=Book, dispatch_uid=f"cacheops.through.{id(cache)}")
    post_delete.disconnect(sender=Book, dispatch_uid=f"cacheops.through.{id(cache)}")


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
