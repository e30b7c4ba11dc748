"""manage.py warm_cache: what it takes, what it says, how it ends, and where it goes on."""

import io
import json
import re
import time
from functools import partial
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cacheops import bypassed
from cacheops.exceptions import InvalidOption
from cacheops.regions import regions
from cacheops.regions.hotkeys import hotkeys
from cacheops.warming import CacheWarmer, Reads, fanout, ordering, recent_runs, register_warmer, registry, runner
from cacheops.warming.registry import rows_of
from cacheops.warming.runner import Pace
from tests.testapp.cached import is_hit
from tests.testapp.models import Author, Book
from tests.waiting import until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]

ALL = ("us-east-1", "us-west-2", "us-east-2")


def warm(*arguments: str, **options: Any) -> str:
    told = io.StringIO()
    call_command("warm_cache", *arguments, stdout=told, stderr=told, **options)
    return told.getvalue()


def as_data(*arguments: str) -> dict[str, Any]:
    return json.loads(warm(*arguments, "--json"))


@pytest.fixture
def books_count() -> int:
    with bypassed():
        return Book.objects.count()


@pytest.fixture
def three_regions(settings: Any) -> None:
    settings.CACHEOPS_REGIONS = ALL


@pytest.fixture
def lost_region(settings: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let one of the regions have servers that nobody reaches, and the run have no patience with it."""
    monkeypatch.setattr(fanout, "PATIENCE_SECONDS", 0.0)
    lost = {**settings.CACHES["us-west-2"], "LOCATION": ["redis://127.0.0.1:1/0"]}
    settings.CACHES = {**settings.CACHES, "us-west-2": lost}
    settings.CACHEOPS_REGIONS = ALL
    return "us-west-2"


def test_a_models_rows_in_all_regions(three_regions, books_count):
    told = warm("testapp.Book", "--region", "all")
    for region in ALL:
        assert f"{region}: {2 * books_count} warmed, 0 already warm, 0 skipped, 0 failed" in told
    assert is_hit("default", lambda: Book.objects.get(pk=1))
    assert f"{2 * books_count} already warm" in warm("testapp.book")


def test_its_result_is_for_machines_too_and_is_remembered(books_count):
    began = time.monotonic()
    data = as_data("testapp.Book", "--all")
    assert 0 <= data["seconds"] <= time.monotonic() - began
    assert data["outcomes"]["us-east-1"]["warmed"] == 2 * books_count
    assert data["outcomes"]["us-east-1"]["bytes"] > 100 * books_count
    assert (data["status"], data["scope"], data["targets"]) == ("done", "all", ["testapp.Book"])
    run = recent_runs("us-east-1")[0]
    assert run.outcomes["us-east-1"].warmed == 2 * books_count
    assert run.seconds == pytest.approx(data["seconds"])


def test_a_dry_run_says_so_and_is_not_remembered(books_count):
    assert f"would warm {2 * books_count}," in warm("testapp.Book", "--dry-run")
    assert recent_runs("us-east-1") == []
    assert not is_hit("default", lambda: Book.objects.get(pk=1))


def test_a_region_that_is_down_is_counted_and_the_others_finish(lost_region, books_count):
    told = io.StringIO()
    with pytest.raises(CommandError, match=r"us-west-2: .* failed") as raised:
        call_command("warm_cache", "testapp.Book", "--region", "all", stdout=told)
    assert raised.value.returncode == 1
    assert f"us-east-1: {2 * books_count} warmed, 0 already warm, 0 skipped, 0 failed" in told.getvalue()
    assert f"us-west-2: 0 warmed, 0 already warm, 0 skipped, {2 * books_count} failed" in told.getvalue()
    assert recent_runs("us-east-1")[0].status == "failed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["testapp.Bok"], r"'testapp.Bok' is nothing .* Did you mean testapp.Book"),
        (["devcies"], "Did you mean devices"),
        (["Book"], "testapp.Book"),
        (["xyz"], "Known: .*devices"),
        (["--region", "mars"], "us-east-1"),
        (["--top", "0"], "from 1 to"),
        (["--top", "5", "--all"], "--top and --all exclude"),
        (["--since", "1h", "--top", "5"], "--top and --since exclude"),
        (["--since", "soon"], "90m"),
        (["--since", "2999-01-01"], "has not come yet"),
        (["--rate", "0"], "above 0"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(CommandError, match=message):
        warm(*arguments)


def test_the_most_used_come_first_and_are_chosen(settings, books_count):
    settings.CACHEOPS_USAGE_SAMPLE = 1
    for _ in range(5):
        Book.objects.get(pk=3)
    for _ in range(3):
        list(Book.objects.filter(author_id=2))
    hotkeys.send(regions.local)
    until(lambda: hotkeys.top(regions.local, 0), "told")
    order: list[list[int]] = []
    books = register_warmer("books", lambda keys: order.append(keys) or [rows_of(Book, keys, ())], model=Book)
    authors = register_warmer("authors", lambda keys: order.append(keys) or [rows_of(Author, keys, ())], model=Author)
    try:
        warm("books", "authors", "--top", "2")
        warm("books", "--since", "1h")
    finally:
        for warmer in (books, authors):
            registry._warmers.pop(warmer.name)
    with bypassed():
        newest = Book.objects.order_by("-pk").values_list("pk", flat=True)[0]
    assert order[0] == [3, newest]
    assert order[1][0] == 2
    assert order[2] == [3]


def test_deleted_rows_take_no_places(settings, books_count, monkeypatch):
    """What is read is counted for a day, whatever becomes of the rows."""
    monkeypatch.setattr(ordering, "PAGE", 2)
    settings.CACHEOPS_USAGE_SAMPLE = 1
    for key, reads in ((5, 6), (4, 5), (3, 4), (2, 3), (1, 2)):
        for _ in range(reads):
            Book.objects.get(pk=key)
    hotkeys.send(regions.local)
    until(lambda: hotkeys.top(regions.local, 0), "told")
    Book.objects.filter(pk__in=[5, 4, 2]).delete()
    order: list[list[int]] = []
    register_warmer("books", lambda keys: order.append(keys) or [rows_of(Book, keys, ())], model=Book)
    try:
        warm("books", "--top", "1")
        told = warm("books", "--top", "3")
        warm("books", "--since", "1h")
    finally:
        registry._warmers.pop("books")
    with bypassed():
        newest = Book.objects.exclude(pk__in=[1, 3]).order_by("-pk").values_list("pk", flat=True)[0]
    assert order == [[3], [3, 1, newest], [3, 1]]
    assert "1 warmed, 2 already warm" in told


def test_an_interrupted_run_goes_on_where_it_stopped(books_count):
    seen: list[int] = []

    def works(keys):
        if len(seen) == 2 and not interrupted:
            interrupted.append(1)
            raise KeyboardInterrupt
        seen.extend(keys)
        return [rows_of(Book, keys, ())]

    interrupted: list[int] = []
    register_warmer("books", works, model=Book, batch=1)
    try:
        with pytest.raises(CommandError, match="--resume") as raised:
            warm("books", "--all")
        assert raised.value.returncode == 130
        assert recent_runs("us-east-1")[0].status == "interrupted"
        with pytest.raises(CommandError, match=r"warmed books \(all\)"):
            warm("books", "--top", "5", "--resume")
        told = warm("books", "--all", "--resume")
    finally:
        registry._warmers.pop("books")
    assert "2 of them done before" in told
    with bypassed():
        assert seen == list(Book.objects.order_by("pk").values_list("pk", flat=True))
    assert "Nothing was interrupted" in warm("testapp.Book", "--resume")


def test_a_rate_holds(books_count, monkeypatch):
    """On a clock that stands still, the run waits until each entry is due: for all of them half a second."""
    waits: list[float] = []
    monkeypatch.setattr(runner, "Pace", lambda rate: Pace(rate, lambda: 0.0, waits.append))
    data = as_data("testapp.Book", "--rate", f"{4 * books_count}/s")
    assert data["outcomes"]["us-east-1"]["warmed"] == 2 * books_count
    assert waits[-1] == 0.5


def test_calls_that_read_nothing_are_done(books_count):
    register_warmer("nothing", lambda keys: [Reads([partial(len, key) for key in keys])], keys=lambda: ["a", "b"])
    try:
        assert "0 warmed, 0 already warm, 0 skipped, 0 failed" in warm("nothing")
    finally:
        registry._warmers.pop("nothing")


def test_what_is_read_is_told_to_the_region(settings):
    settings.CACHEOPS_USAGE_SAMPLE = 1
    Book.objects.get(pk=1)
    hotkeys.send(regions.local)
    until(lambda: [name for name in hotkeys.top(regions.local, 0) if name.endswith("id=1")], "told")


def test_where_nothing_is_sampled_nothing_is_told(settings):
    settings.CACHEOPS_USAGE_SAMPLE = 0
    hotkeys._counts.clear()  # what other tests have read, and not told yet
    Book.objects.get(pk=1)
    hotkeys.send(regions.local)
    assert not hotkeys.top(regions.local, 0)


def test_only_regions_that_cache_the_database_are_warmed(settings: Any) -> None:
    settings.CACHEOPS_REGIONS = {"default": ("us-east-1",), "other": ALL}
    warmed = as_data("testapp.book", "--all", "--region", "all")["outcomes"]
    assert warmed["us-east-1"]["warmed"] > 0
    assert [warmed[name]["warmed"] + warmed[name]["failed"] for name in ALL[1:]] == [0, 0]
    with pytest.raises(CommandError, match="run warm_cache in us-west-2"):
        warm("testapp.book", "--all", "--region", "us-west-2")


def test_a_region_that_follows_is_left_to_its_own_processes(settings: Any) -> None:
    settings.CACHEOPS_REGIONS = {"default": ("us-east-1",), "replica": ("us-west-2",)}
    settings.CACHEOPS_FOLLOWERS = {"replica": "default"}
    told = warm("testapp.book", "--region", "all")
    assert re.search(r"us-east-1: [1-9]\d* warmed", told)
    assert "us-west-2 caches its own replica, or other databases than this process: run warm_cache in us" in told
    with pytest.raises(CommandError, match="run warm_cache in us-west-2"):
        warm("--region", "us-west-2")


def test_rows_named_in_code_are_warmed_and_no_others(three_regions: None) -> None:
    run = CacheWarmer("us-west-2", "us-east-1").warm("testapp.Book", [2, 10**9])
    assert (run.status, run.scope) == ("done", "2 keys")
    assert {name: outcome.warmed for name, outcome in run.outcomes.items()} == {"us-west-2": 2, "us-east-1": 2}
    assert is_hit("default", lambda: Book.objects.get(pk=2))
    assert not is_hit("default", lambda: Book.objects.get(pk=1))


def test_the_specification_s_warmer_warms_its_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = registry.Warmer("devices", lambda keys: [rows_of(Book, keys)], Book)
    analytics = registry.Warmer("analytics", lambda keys: [Reads([Book.objects.count])], keys=lambda: ["all"])
    monkeypatch.setitem(registry._warmers, "devices", devices)
    monkeypatch.setitem(registry._warmers, "analytics", analytics)
    warmer = CacheWarmer()
    assert warmer.regions == ("us-east-1",)
    assert warmer.warm_device_cache([1]).outcomes["us-east-1"].warmed == 2
    assert warmer.warm_analytics_cache().outcomes["us-east-1"].warmed == 1
    with pytest.raises(InvalidOption, match="lists its keys itself"):
        warmer.warm("analytics", [1])
