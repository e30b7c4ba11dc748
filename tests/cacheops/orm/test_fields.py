"""Every field's values come back from the cache as they come from the database, and who else reads through it."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user, get_user_model
from django.contrib.sessions.backends.cache import SessionStore
from django.http import HttpRequest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg.types.range import NumericRange, Range

from tests.testapp.cached import from_database, is_hit
from tests.testapp.compare import plain
from tests.testapp.fields import Money
from tests.testapp.models import Book, EveryField, PostgresField

pytestmark = pytest.mark.django_db(databases="__all__")

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
WHEN = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "big": st.integers(-(2**63), 2**63 - 1),
    "small": st.integers(-(2**15), 2**15 - 1),
    "flag": st.booleans(),
    "char": TEXT,
    "text": TEXT,
    "binary": st.binary(max_size=20),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "decimal": st.decimals(-(10**9), 10**9, places=6),
    "day": st.dates(dt.date(1900, 1, 1)),
    "moment": WHEN,
    "clock": st.times(),
    "span": st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999)),
    "uuid": st.uuids(),
    "json": JSON,
    "address": st.ip_addresses().map(str),
    "money": st.builds(Money, st.decimals(0, 999, places=2), st.sampled_from(["EUR", "USD"])),
}


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}))
def test_every_field_comes_back_as_from_the_database(library: str, values: dict[str, Any]) -> None:
    pk = EveryField.objects.using(library).create(**values).pk

    def read() -> Any:
        return [EveryField.objects.using(library).get(pk=pk), *EveryField.objects.using(library).filter(pk=pk).values()]

    expected = from_database(read)
    read()
    assert is_hit(library, read)
    assert plain(read()) == expected


@pytest.mark.parametrize("database", ["default"])
def test_postgresqls_own_types_come_back_as_from_the_database(library: str) -> None:
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    rows = [
        PostgresField(
            numbers=[1, None, 3],
            table=[[Decimal("1.50"), Decimal("-2.00")]],
            ids=[uuid.UUID(int=1)],
            whole=Range(1, 5),
            decimals=NumericRange(Decimal("1.5"), None, "()"),
            days=Range(dt.date(2026, 1, 1), dt.date(2026, 2, 1)),
            moments=Range(noon, noon + dt.timedelta(hours=1)),
        ),
        PostgresField(numbers=[], whole=Range(empty=True)),
        PostgresField(),
    ]
    for row in rows:
        row.save()

    def read() -> Any:
        found = PostgresField.objects.order_by("pk")
        return [list(found), list(found.values()), list(found.filter(numbers__contains=[1]))]

    expected = from_database(read)
    assert plain(read()) == expected
    assert is_hit(library, read)
    assert plain(read()) == expected
    PostgresField.objects.filter(numbers__len=3).update(numbers=[9])
    assert plain(read()) == from_database(read)


@pytest.mark.parametrize("database", ["default"])
def test_conditions_on_ranges_are_cached(library: str) -> None:
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    later = noon + dt.timedelta(hours=1)
    PostgresField(whole=Range(1, 5), decimals=NumericRange(Decimal("1.5"), None), moments=Range(noon, later)).save()
    conditions: list[dict[str, Any]] = [
        {"whole__contains": Range(2, 5)},
        {"whole__contains": Range(2, 5, "[]")},
        {"whole__overlap": Range(4, None)},
        {"whole": Range(1, 5)},
        {"whole__contained_by": Range(empty=True)},
        {"decimals__contains": NumericRange(Decimal("1.6"), Decimal("2"))},
        {"moments__contains": Range(noon, later)},
        {"whole__in": [Range(1, 5), Range(3, 4)]},
    ]
    for condition in conditions:

        def read(condition: dict[str, Any] = condition) -> Any:
            return PostgresField.objects.filter(**condition).values_list("whole", flat=True)

        expected = from_database(read)
        assert plain(read()) == expected
        assert is_hit(library, lambda: list(read()))
        PostgresField.objects.update(whole=Range(3, 9))
        assert plain(read()) == from_database(read)
        PostgresField.objects.update(whole=Range(1, 5))
    for _ in range(2):  # a text may stand for the time of the query
        assert not is_hit(library, lambda: list(PostgresField.objects.filter(days__contained_by=Range("today", None))))


ZONED = [{"published__hour__gte": 23}, {"published__year": 2025}, {"published__date": dt.date(2025, 12, 31)}]


@pytest.mark.parametrize("condition", ZONED)
def test_the_active_time_zone_belongs_to_a_query_that_uses_it(condition: dict[str, Any], library: str) -> None:
    books = Book.objects.using(library)
    books.filter(pk=1).update(published=dt.datetime(2025, 12, 31, 23, 30, tzinfo=dt.UTC))

    def days() -> list[Any]:
        return list(books.filter(**condition).order_by("pk").values_list("pk"))

    for zone in ("UTC", "Asia/Tokyo", "UTC"):
        with timezone.override(zone):
            assert plain(days()) == from_database(days)


@pytest.mark.parametrize("database", ["default"])
def test_the_async_orm_reads_through_the_cache(library: str) -> None:
    books = Book.objects.using(library).order_by("pk")

    async def read() -> list[Any]:
        listed = [book.title async for book in books]
        one = await books.aget(pk=1)
        return [listed, one.title, await books.acount(), await books.filter(pk=2).aexists(), (await books.afirst()).pk]

    first = async_to_sync(read)()
    assert is_hit(library, lambda: async_to_sync(read)())
    assert async_to_sync(read)() == first
    async_to_sync(books.filter(pk=1).aupdate)(title="awaited")
    assert async_to_sync(read)()[1] == "awaited"


def test_the_signed_in_user_is_read_from_the_cache(cache: str, settings: Any) -> None:
    settings.CACHEOPS = {"users.user": {"ops": "all", "timeout": 60}}
    user = get_user_model().objects.create_user(f"u{uuid.uuid4().hex[:8]}", password="secret")
    request = HttpRequest()
    request.session = SessionStore()
    request.session[SESSION_KEY] = str(user.pk)
    request.session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    request.session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    try:
        assert get_user(request) == user
        assert is_hit("default", lambda: get_user(request))
        get_user_model().objects.filter(pk=user.pk).update(is_active=False)
        assert not get_user(request).is_authenticated
    finally:
        user.delete()
