"""CacheAsideManager: on a cluster, on a pair and in memory; what it keeps, for how long, and what ends it."""

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections, transaction

from cacheops import bypassed
from cacheops.exceptions import InvalidKey, InvalidOption, StoreUnavailable
from cacheops.monitoring.counters import counters
from cacheops.orm.samples import RowsOf, TimeBucket
from cacheops.patterns import AsideEntry, CacheAsideManager
from cacheops.regions import regions
from cacheops.tally import tallied
from tests.testapp import world
from tests.testapp.models import Book, EveryField

pytestmark = pytest.mark.django_db(databases="__all__")

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
NOWHERE = {
    "BACKEND": "cacheops.backends.RegionCache",
    "LOCATION": ["redis://127.0.0.1:1", "redis://127.0.0.1:1"],
    "OPTIONS": {"CLIENT_CLASS": "cacheops.backends.PairClient"},
}


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Let marked tests commit (it replaces pytest-django's, which keeps every commit from happening)."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(params=["us-east-1", "us-west-2", "memory"])
def region(request: Any, settings: Any) -> str:
    """Make one kind of region the only one, with keys of its own; return its name."""
    if request.param == "memory":
        settings.CACHES = {**settings.CACHES, "memory": {"BACKEND": "cacheops.backends.MemoryCache"}}
    settings.CACHEOPS_REGIONS = (request.param,)
    settings.CACHEOPS_LOCAL_REGION = request.param
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    return request.param


@pytest.fixture
def books(_django_db_helper: None, region: str) -> Iterator[None]:
    world.empty("default")
    world.fill("default")
    yield
    world.empty("default")


class Calls:
    """A loader that counts."""

    def __init__(self, value: Any = "loaded") -> None:
        self.value, self.count = value, 0
        self.asked: list[list[str]] = []

    def __call__(self) -> Any:
        self.count += 1
        return self.value

    def many(self, keys: list[str]) -> dict[str, Any]:
        self.asked.append(keys)
        return {key: f"{key}!" for key in keys}


def entries(*keys: str, **options: Any) -> list[AsideEntry]:
    return [AsideEntry(key, **options) for key in keys]


# --- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        0, "", False, [], {}, 1.5, "°C", b"\x00\xff", NOON, Decimal("1.10"), uuid.UUID(int=7), {1, 2},
        {"at": NOON, "of": (1, [Decimal("2.50")])}, [(1, NOON), (2, None)],
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_is_loaded_once_and_comes_back_as_it_was(value: Any, region: str) -> None:
    manager, calls = CacheAsideManager(), Calls(value)
    assert manager.get_or_set("device:7:data", calls) == value
    again = manager.get_or_set("device:7:data", calls)
    assert again == value
    assert type(again) is type(value)
    assert calls.count == 1


def test_none_is_kept_for_a_time_of_its_own(region: str) -> None:
    calls = Calls(None)
    kept, not_kept = CacheAsideManager(none_ttl=60), CacheAsideManager(none_ttl=0)
    assert [kept.get_or_set("device:7:current", calls) for _ in range(3)] == [None] * 3
    assert calls.count == 1
    assert [not_kept.get_or_set("device:8:current", calls) for _ in range(3)] == [None] * 3
    assert calls.count == 4
    assert set(kept.get_or_set_many(entries("device:9:current"), lambda keys: {}).values()) == {None}
    assert kept.get_or_set("device:9:current", Calls("other")) is None


def test_an_entry_lives_as_long_as_it_is_told(region: str) -> None:
    manager = CacheAsideManager(default_ttl="long_term", none_ttl=60)
    lives: dict[str, float] = {}
    store = regions.local.store
    fill_soon = store.fill_soon

    def noting(sealed: Any, *rest: Any) -> None:
        lives.update((one.entry.rpartition(":")[2], one.ttl) for one in sealed)
        fill_soon(sealed, *rest)

    store.fill_soon = noting  # type: ignore[method-assign]
    manager.get_or_set("a:default", Calls())
    manager.get_or_set("a:seconds", Calls(), ttl=600)
    manager.get_or_set("a:none", Calls(None))
    manager.get_or_set("a:nothing", Calls(), ttl=0)
    many = [AsideEntry("a:m-default"), AsideEntry("a:m-named", (), "real_time"), AsideEntry("a:m-none")]
    manager.get_or_set_many(many, lambda keys: {"a:m-default": 1, "a:m-named": 2})
    jitter = 0.1
    expected = {"default": 86400, "seconds": 600, "none": 60, "m-default": 86400, "m-named": 60, "m-none": 60}
    assert lives.keys() == expected.keys()
    assert all(seconds * (1 - jitter) <= lives[name] <= seconds for name, seconds in expected.items())


def test_nothing_is_kept_with_a_ttl_of_0(region: str) -> None:
    manager, calls = CacheAsideManager(), Calls()
    for _ in range(2):
        manager.get_or_set("device:7:data", calls, ttl=0)
    assert calls.count == 2


def test_look_ups_are_counted(region: str) -> None:
    manager = CacheAsideManager()
    counters.reset()
    with tallied() as tally:
        manager.get_or_set("device:7:data", Calls())
        manager.get_or_set("device:7:data", Calls())
        manager.get_or_set_many(entries("device:7:data", "device:8:data"), Calls().many)
    assert (tally.hits, tally.misses, tally.bypasses) == (2, 2, 0)
    assert counters.hits["device:aside"] == 2
    assert counters.misses["device:aside"] == 2


def test_the_cache_can_be_passed_by(region: str) -> None:
    manager, calls = CacheAsideManager(), Calls()
    with bypassed():
        manager.get_or_set("device:7:data", calls)
        manager.get_or_set_many(entries("device:7:data"), calls.many)
    manager.get_or_set("device:7:data", calls)
    assert (calls.count, len(calls.asked)) == (2, 1)


def test_rows_are_kept_as_a_query_returns_them(region: str) -> None:
    manager = CacheAsideManager(rows=True)
    table = [(1, 2.5, "a", NOON), (2, None, "b", None)]
    for _ in range(2):
        found = manager.get_or_set_many(entries("a:full", "a:empty"), lambda keys: {"a:full": table, "a:empty": []})
        assert {key: list(rows) for key, rows in found.items()} == {"a:full": table, "a:empty": []}


# --- many ------------------------------------------------------------------------------------------------------------


def test_what_is_missing_comes_from_one_call(region: str) -> None:
    manager, calls = CacheAsideManager(), Calls()
    names = [f"device:{number}:data" for number in range(20)]
    manager.get_or_set_many(entries(*names[:5]), calls.many)
    found = manager.get_or_set_many(entries(*names), calls.many)
    assert found == {name: f"{name}!" for name in names}
    assert list(found) == names
    assert calls.asked == [names[:5], names[5:]]
    assert manager.get_or_set_many(entries(*names), calls.many) == found
    assert manager.get_or_set_many([], calls.many) == {}
    assert len(calls.asked) == 2


def test_one_and_many_share_their_entries(region: str) -> None:
    manager, calls = CacheAsideManager(), Calls()
    manager.get_or_set_many(entries("device:7:data"), calls.many)
    assert manager.get_or_set("device:7:data", calls) == "device:7:data!"


def together(functions: list[Callable[[], Any]]) -> list[Any]:
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


def test_readers_that_come_together_load_once(region: str) -> None:
    manager = CacheAsideManager()
    names = [f"device:{number}:data" for number in range(6)]
    loaded: list[str] = []
    lock = threading.Lock()

    def slowly(keys: list[str]) -> dict[str, str]:
        with lock:
            loaded.extend(keys)
        threading.Event().wait(0.05)
        return {key: key for key in keys}

    # Each asks for the keys in another order, and for others besides: nobody may wait for who waits for him.
    turns = [names[turn:] + names[:turn] for turn in range(6)]
    found = together(
        [lambda turn=turn: manager.get_or_set_many(entries(*turn), slowly) for turn in turns]  # type: ignore[misc]
    )
    assert all(answer == {name: name for name in names} for answer in found)
    assert sorted(loaded) == names


def test_a_loader_that_fails_leaves_its_place_to_the_next(region: str) -> None:
    manager = CacheAsideManager()

    def fails(keys: list[str]) -> dict[str, str]:
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        manager.get_or_set_many(entries("a:1", "a:2"), fails)
    calls = Calls()
    manager.get_or_set_many(entries("a:1", "a:2"), calls.many)
    assert calls.asked == [["a:1", "a:2"]]


# --- what ends an entry -----------------------------------------------------------------------------------------------


def test_invalidating_says_whether_there_was_something(region: str) -> None:
    manager, calls = CacheAsideManager(), Calls()
    manager.get_or_set("device:7:data", calls)
    assert manager.invalidate("device:7:data") is True
    assert manager.invalidate("device:7:data") is False
    manager.get_or_set("device:7:data", calls)
    assert calls.count == 2


def test_a_pattern_meets_what_it_names_and_nothing_else(region: str) -> None:
    manager = CacheAsideManager()
    names = ["device:1:data:a", "device:1:data:b", "device:1:current", "device:11:data:a", "user:1:data:a"]
    manager.get_or_set_many(entries(*names), Calls().many)
    assert manager.invalidate_pattern("device:1:data:*") == 2
    calls = Calls()
    manager.get_or_set_many(entries(*names), calls.many)
    assert calls.asked == [names[:2]]
    assert manager.invalidate_pattern("*:1:data:[ab]") == 3
    assert manager.invalidate_pattern("device:1:*") == 1
    assert manager.invalidate_pattern("nothing:*") == 0


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("end", ["invalidate", "invalidate_pattern"])
def test_what_is_being_loaded_is_not_kept_once_it_was_invalidated(end: str, many: bool, region: str) -> None:
    manager = CacheAsideManager()

    def load(keys: Any = ()) -> Any:
        getattr(manager, end)("device:7:data")
        return dict.fromkeys(keys, "old") if keys else "old"

    if many:
        manager.get_or_set_many(entries("device:7:data"), load)
    else:
        manager.get_or_set("device:7:data", load)
    assert manager.get_or_set("device:7:data", Calls("new")) == "new"


def titles(depends_on: Any, manager: CacheAsideManager) -> list[str]:
    def load() -> list[str]:
        with bypassed():
            return [book.title for book in Book.objects.filter(author_id=1).order_by("pk")]

    return manager.get_or_set("books:of:1", load, depends_on=depends_on)


@pytest.mark.parametrize(
    "sample", [lambda: Book.objects.filter(author_id=1), lambda: RowsOf(Book, {"author_id": 1})], ids=["query", "rows"]
)
def test_an_entry_follows_the_rows_that_it_depends_on(sample: Any, books: None) -> None:
    manager = CacheAsideManager()
    before = titles([sample()], manager)
    with tallied() as tally:
        assert titles([sample()], manager) == before
    assert (tally.hits, tally.misses) == (1, 0)
    Book.objects.exclude(author_id=1).update(title="of another")
    with tallied() as tally:
        titles([sample()], manager)
    assert (tally.hits, tally.misses) == (1, 0)
    Book.objects.filter(author_id=1).update(title="new")
    assert set(titles([sample()], manager)) == {"new"}


@pytest.mark.parametrize("many", [False, True])
def test_a_write_while_loading_leaves_nothing_old(many: bool, books: None) -> None:
    manager = CacheAsideManager()
    sample = RowsOf(Book, {"id": 1})

    def write() -> None:
        Book.objects.filter(pk=1).update(title="written")
        connections.close_all()

    def load(keys: Any = ()) -> Any:
        writer = threading.Thread(target=write)
        writer.start()
        writer.join()
        return dict.fromkeys(keys, "from before") if keys else "from before"

    if many:
        manager.get_or_set_many(entries("books:1", depends_on=[sample]), load)
    else:
        manager.get_or_set("books:1", load, depends_on=[sample])
    assert manager.get_or_set("books:1", Calls("after"), depends_on=[sample]) == "after"


def test_a_transaction_reads_its_own_writes_and_fills_nothing(books: None) -> None:
    manager = CacheAsideManager()
    sample = [RowsOf(Book, {"author_id": 1})]
    before = titles(sample, manager)
    with transaction.atomic():
        Book.objects.filter(author_id=1).update(title="not committed")
        assert set(titles(sample, manager)) == {"not committed"}
        transaction.set_rollback(True)
    assert titles(sample, manager) == before


def test_an_hour_is_left_alone_by_a_write_to_the_next(books: None) -> None:
    manager = CacheAsideManager()
    hours = [NOON + number * HOUR for number in range(4)]
    EveryField.objects.create(moment=hours[0])
    wanted = [
        AsideEntry(f"hour:{number}", [RowsOf(EveryField, {"moment": TimeBucket(hour, 3600)})])
        for number, hour in enumerate(hours)
    ]
    calls = Calls()
    manager.get_or_set_many(wanted, calls.many)
    EveryField.objects.create(moment=hours[2] + HOUR / 2)
    EveryField.objects.filter(moment=hours[0]).delete()
    manager.get_or_set_many(wanted, calls.many)
    assert calls.asked[1:] == [["hour:0", "hour:2"]]


# --- when the region does not answer ----------------------------------------------------------------------------------


def test_a_dead_region_costs_nothing_but_the_cache(settings: Any) -> None:
    settings.CACHES = {**settings.CACHES, "nowhere": NOWHERE}
    settings.CACHEOPS_REGIONS = ("nowhere",)
    settings.CACHEOPS_LOCAL_REGION = "nowhere"
    manager, calls = CacheAsideManager(), Calls()
    for _ in range(2):
        assert manager.get_or_set("device:7:data", calls) == "loaded"
        assert manager.get_or_set_many(entries("device:8:data"), calls.many) == {"device:8:data": "device:8:data!"}
    assert (calls.count, len(calls.asked)) == (2, 2)
    for forget in (manager.invalidate, manager.invalidate_pattern):
        with pytest.raises(StoreUnavailable, match="nowhere"):
            forget("device:7:data")


def test_all_regions_are_told(settings: Any) -> None:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    manager = CacheAsideManager()
    everywhere = ("us-east-1", "us-west-2", "us-east-2")
    for end in (manager.invalidate, manager.invalidate_pattern):
        for name in everywhere:
            settings.CACHEOPS_LOCAL_REGION = name
            manager.get_or_set("device:7:data", Calls("old"))
        assert end("device:7:data") == 1
        for name in everywhere:
            settings.CACHEOPS_LOCAL_REGION = name
            assert manager.get_or_set("device:7:data", Calls("new")) == "new"
        manager.invalidate("device:7:data")


# --- what makes no sense ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "with space", "x" * 10_000_000, "a*", None, 7])
def test_a_bad_key_is_named(key: Any, region: str) -> None:
    with pytest.raises(InvalidKey):
        CacheAsideManager().get_or_set(key, Calls())


@pytest.mark.parametrize("ttl", [-1, "no_strategy", 1e9])
def test_a_bad_ttl_is_named(ttl: Any, region: str) -> None:
    with pytest.raises(InvalidOption):
        CacheAsideManager().get_or_set("device:7:data", Calls(), ttl=ttl)


@pytest.mark.parametrize(
    "conditions", [{"no_such": 1}, {"rating": 1.5}, {"title": TimeBucket(NOON, 3600)}, {"tags": 1}]
)
def test_a_condition_that_can_not_be_followed_is_named(conditions: Any, region: str) -> None:
    with pytest.raises(InvalidOption):
        CacheAsideManager().get_or_set("books:all", Calls(), depends_on=[RowsOf(Book, conditions)])
