"""What a project that comes from django-cacheops finds by the names that it knows."""

from pathlib import Path
from typing import Any

import pytest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils import timezone

import cacheops
from cacheops import (
    CachedManager,
    CacheMiss,
    bypassed,
    cache,
    cached,
    cached_as,
    cached_view,
    file_cache,
    invalidate_all,
    invalidate_model,
    invalidate_obj,
    no_invalidation,
)
from cacheops.compat import querysets
from cacheops.compat.gone import GONE
from cacheops.compat.simple import FILE_ALIAS
from cacheops.exceptions import InvalidOption
from cacheops.profiles import profile_from
from locations.models import Location
from tests.cacheops.test_by_hand import run_python
from tests.testapp.cached import is_hit

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def places(settings: Any) -> QuerySet[Location]:
    settings.CACHEOPS_PREFIX = "from"
    invalidate_all()
    for code in ("harbor", "ridge"):
        Location.objects.create(name=code.title(), code=code)
    manager: Any = CachedManager()
    manager.model = Location
    found: QuerySet[Location] = manager.get_queryset()
    return found


# --- values by key ----------------------------------------------------------------------------------------------------


def test_values_by_key_are_missed_loudly_and_begin_with_the_prefix(settings: Any) -> None:
    cache.set("greeting", None, timeout=60)
    assert cache.get("greeting") is None
    settings.CACHEOPS_PREFIX = lambda query: "another"
    with pytest.raises(CacheMiss):
        cache.get("greeting")
    del settings.CACHEOPS_PREFIX
    cache.delete("greeting")
    with pytest.raises(KeyError, match="greeting"):
        cache.get("greeting")


@cached(timeout=60)
def doubled(number: int) -> int:
    return number * 2


def test_a_result_is_read_replaced_and_deleted_by_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (4, 5):
        doubled(number)
    key = doubled.key(4)
    assert key.get() == 8
    deleted: list[Any] = []
    delete = type(key).delete
    monkeypatch.setattr(type(key), "delete", lambda key: (deleted.append(key), delete(key)))
    key.set(9)
    assert [*deleted, doubled(4), key.get(), doubled(5)] == [key, 9, 9, 10]  # one: nobody else loads it
    with timezone.override("Asia/Tokyo"):
        with pytest.raises(CacheMiss):
            doubled.key(4).get()
        assert doubled(4) == 8
    key.delete()
    with timezone.override("Asia/Tokyo"), pytest.raises(CacheMiss):
        doubled.key(4).get()
    with pytest.raises(CacheMiss, match=r"test_from_django_cacheops\.doubled"):
        key.get()
    with bypassed():
        key.set(9)
        with pytest.raises(CacheMiss):
            key.get()
    assert doubled(4) == 8


def test_a_value_that_was_set_follows_its_sample(places: Any) -> None:
    @cached_as(Location)
    def names() -> list[str]:
        return ["loaded"]

    names.key().set(["given"])
    assert names() == ["given"]
    Location.objects.update(name="New")
    assert names() == ["loaded"]


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(settings: Any, tmp_path: Path) -> Path:
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {**settings.CACHES, FILE_ALIAS: {"BACKEND": backend, "LOCATION": str(tmp_path)}}
    return tmp_path


def test_results_and_views_are_kept_in_files(files: Path) -> None:
    calls: list[Any] = []

    @file_cache.cached(timeout=60, key="files.tripled")
    def tripled(number: int) -> int:
        calls.append(number)
        return number * 3

    @file_cache.cached_view(timeout=60, key="files.page")
    def page(request: HttpRequest) -> HttpResponse:
        calls.append(request.path)
        return HttpResponse("", headers={"Cache-Control": "private"} if request.path == "/mine" else {})

    assert [tripled(1), tripled(2), tripled(1)] == [3, 6, 3]
    tripled.invalidate(1)
    assert [tripled(1), tripled(2)] == [3, 6]
    tripled.key(2).set(7)
    assert [tripled(2), tripled.key(2).get()] == [7, 7]
    tripled.key(2).delete()
    with pytest.raises(CacheMiss):
        tripled.key(2).get()
    for path in ("/", "/", "/mine", "/mine"):
        page(RequestFactory().get(path))
    assert calls == [1, 2, 1, "/", "/mine", "/mine"]
    file_cache.set("greeting", 1)
    assert file_cache.get("greeting") == 1
    assert len(list(files.iterdir())) > 4


def test_files_need_an_alias() -> None:
    with pytest.raises(InvalidOption, match=r"'file_cache': \{'BACKEND'"):
        file_cache.get("anything")
    with pytest.raises(InvalidOption, match="with brackets"):
        file_cache.cached(len)  # type: ignore[arg-type]


# --- querysets --------------------------------------------------------------------------------------------------------


def test_get_covers_what_ends_after_one_row(places: Any) -> None:
    for read in (
        places.cache(ops="get").order_by("code").first,
        places.cache(ops="get").order_by("code").last,
        places.cache(ops="get").filter(name="Ridge").first,
        lambda: places.cache(ops="get").latest("code"),
        lambda: places.cache(ops="get").earliest("code"),
    ):
        read()
        assert is_hit("default", read)
    several = places.cache(ops="get").order_by("code")
    for read in (lambda: list(several[:2]), lambda: list(several[1:2]), lambda: list(several.all())):
        read()
        assert not is_hit("default", read)


def test_querysets_that_change_in_place(places: QuerySet[Location]) -> None:
    for rows in (querysets.inplace(places), querysets.inplace(querysets.inplace(Location.objects.all()))):
        assert len(rows) == 2
        assert rows.filter(name="Ridge") is rows
        assert [place.code for place in rows] == ["ridge"]
        others = querysets.cloning(rows)
        assert others.filter(name="Harbor") is not others
        assert [len(others), type(others)] == [1, type(rows).__mro__[2]]
        copy = querysets.clone(others)
        assert copy is not others
        assert list(copy) == list(others)
    found = querysets.managed_inplace(Location.objects).filter(name="Ridge").order_by("code")[:1]
    assert [place.code for place in found] == ["ridge"]


def test_nothing_is_invalidated_by_hand_where_nothing_is_to_be(places: QuerySet[Location]) -> None:
    ridge = Location.objects.get(code="ridge")

    def read() -> Location:
        return Location.objects.get(code="ridge")

    read()
    with no_invalidation:
        invalidate_obj(ridge)
        invalidate_model(Location)
        invalidate_all()
    assert is_hit("default", read)
    no_invalidation(invalidate_obj)(ridge)
    assert is_hit("default", read)
    for invalidate in (lambda: invalidate_obj(ridge), lambda: invalidate_model(Location), invalidate_all):
        invalidate()
        assert not is_hit("default", read)


# --- views ------------------------------------------------------------------------------------------------------------


def test_a_view_may_return_what_a_decorator_makes_a_response_of() -> None:
    calls: list[str] = []

    @cached_view(timeout=60, key="view.of.data")
    def data(request: HttpRequest) -> Any:
        calls.append(request.path)
        return {"Vary": request.path, **({"you": request.META["REMOTE_ADDR"]} if request.path == "/mine" else {})}

    asked = RequestFactory()
    for path in ("/a", "/a", "/b", "/mine", "/mine"):
        assert data(asked.get(path))["Vary"] == path  # type: ignore[index]
    assert calls == ["/a", "/b", "/mine", "/mine"]


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_path", [False, True])
def test_a_prefix_may_depend_on_the_database_and_the_table(places: Any, settings: Any, by_path: bool) -> None:
    """Each table of a query is asked for, as each write of it is: joins are invalidated, too."""
    seen: list[Any] = []

    def prefix(query: Any) -> str:
        seen.append(query)
        return f"{query.db}-{'-'.join(query.tables)}"

    settings.CACHEOPS_PREFIX = "tests.cacheops.menu.prefix_of" if by_path else prefix
    members = Location.objects.filter(members__username="nobody")
    for read in (Location.objects.count, members.count):
        read()
        assert is_hit("default", read)
    Location.objects.create(name="Pier", code="pier")
    assert not is_hit("default", Location.objects.count)
    assert Location.objects.count() == 3
    assert doubled(4) == 8
    assert doubled(4) == 8
    invalidate_model(Location)
    assert not is_hit("default", members.count)
    if not by_path:
        assert {query.db for query in seen} == {"default", *("other" for query in seen if query.db != "default")}
        assert "locations_location" in {query.table for query in seen if query.tables}
        assert all(query.dbs == (query.db,) for query in seen)


def test_a_prefix_by_table_says_that_some_keys_have_none(settings: Any) -> None:
    settings.CACHEOPS_PREFIX = lambda query: query.table
    with pytest.raises(InvalidOption, match="see `tables` first"):
        doubled(4)


def test_options_of_a_profile_that_mean_something_else_are_named() -> None:
    near = profile_from({"local_get": True})
    assert [near.level, near.seconds] == ["near", 0.5]
    assert profile_from({"local_get": True, "level": "fresh"}).level == "fresh"
    assert profile_from({"local_get": False, "db_agnostic": False, "cache_on_save": False}) == profile_from({})
    for options, text in (
        ({"db_agnostic": True}, "kept by database, always: remove it"),
        ({"cache_on_save": True}, "'cacheops.compat' in INSTALLED_APPS; or use WriteThroughCache"),
        ({"timeout": 31 * 86400}, "30 days"),
    ):
        with pytest.raises(InvalidOption, match=text):
            profile_from(options)


@pytest.mark.parametrize("name", GONE)
def test_a_name_that_is_gone_says_what_to_use(name: str) -> None:
    with pytest.raises(ImportError, match=f"cacheops has no {name}.*Use "):
        getattr(cacheops, name)


PROGRAM = """
import sys, types, django
from django.conf import settings
on = "cacheops.compat" in sys.argv
options = {"local_get": True, "cache_on_save": on and "title", "db_agnostic": False, "timeout": 10**9 if on else 60}
settings.configure(
    INSTALLED_APPS=["cacheops", *sys.argv[1:], "shop"],
    DATABASES={"default": {"ENGINE": "cacheops.db.backends.sqlite3", "NAME": ":memory:"}},
    CACHES={"default": {"BACKEND": "cacheops.backends.MemoryCache"}},
    CACHEOPS={"shop.post": {"ops": (), **options}},
    CACHEOPS_PREFIX="shop.prefix",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
shop = sys.modules["shop"] = types.ModuleType("shop")
shop.__file__, shop.__path__, shop.prefix = "shop/__init__.py", ["shop"], lambda query: "shop"
django.setup()
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from django.core.management import call_command

class Post(models.Model):
    title = models.CharField(max_length=9, unique=True)
    class Meta:
        app_label = "shop"

call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.create_model(Post)
names = ("cache", "nocache", "invalidated_update", "clone", "inplace", "cloning")
assert [hasattr(models.QuerySet, name) for name in names] == [on] * 6
assert [hasattr(models.Manager, name) for name in ("cache", "nocache", "invalidated_update", "inplace")] == [on] * 4
post = Post(title="one")
post.save()
if on:
    with CaptureQueriesContext(connection) as queries:
        assert Post.objects.cache().get(title="one").pk == post.pk
        assert Post.objects.inplace().cloning().filter(title="one").cache(timeout=10**9).clone().first() == post
    assert len(queries) == 1, queries.captured_queries
    Post.objects.filter(pk=post.pk).delete()
    post.save()
    with CaptureQueriesContext(connection) as queries:
        assert Post.objects.cache().get(title="one") == post
    assert not queries, queries.captured_queries
    from cacheops.profiles import profile_of
    assert (profile_of(Post).timeout, profile_of(Post).level) == (30 * 86400, "near")
"""


def test_the_app_gives_every_queryset_the_methods_and_profiles_their_options_and_nothing_else_does() -> None:
    for apps in ([], ["cacheops.compat"]):
        run_python(PROGRAM, *apps)
