"""Pages of a follower region: its cache, how it is warmed, its replica, and what who reads them has written."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.template import Context, Template
from django.test import Client

import cacheops
from cacheops.regions import regions
from cacheops.warming import Reads, fanout, register_warmer, registry
from cacheops.warming.fanout import RegionFanout
from tests.cacheops.relay import follower
from tests.cacheops.relay.follower import (
    HOME,
    REGION,
    Run,
    assert_hit,
    keys_of,
    sources,
    tell,
    tell_and_catch_up,
    write,
)
from tests.replica import catch_up, pause
from tests.testapp.models import Book
from users.models import User

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
outside = follower.outside

DETAILS = {"action": "details", "last_name": "Li", "email": "ann@example.com", "home_region": "us-west-2"}


@pytest.fixture
def browser(outside: Run) -> Iterator[Client]:
    """Return a browser in which somebody has signed in, whom the replica knows."""
    cache.clear()
    user = User.objects.create_user("ann", first_name="Ann")
    client = Client()
    client.force_login(user)
    tell_and_catch_up()
    yield client
    user.delete()


def shows(client: Client, name: str) -> bool:
    return f'value="{name}"' in client.get("/profile/").content.decode()


def test_a_page_asks_no_database_until_the_relay_tells_of_a_write(browser: Client, outside: Run) -> None:
    assert sources(lambda: shows(browser, "Ann")) == ["replica"]
    assert sources(lambda: shows(browser, "Ann")) == []
    outside("UPDATE users_user SET first_name = 'Nova' WHERE username = 'ann'")
    tell_and_catch_up()
    assert shows(browser, "Nova")
    assert sources(lambda: shows(browser, "Nova")) == []


def test_pages_of_the_admin_ask_no_database_either(browser: Client, outside: Run) -> None:
    User.objects.filter(username="ann").update(is_staff=True, is_superuser=True)
    tell_and_catch_up()

    def people() -> str:
        return browser.get("/admin/users/user/?q=ann").content.decode()

    assert "Ann" in people()
    assert_hit(people)
    outside("UPDATE users_user SET first_name = 'Nova' WHERE username = 'ann'")
    tell_and_catch_up()
    assert "Nova" in people()
    assert_hit(people)


def test_a_fragment_is_kept_of_the_replica(outside: Run) -> None:
    books = "{% for book in books %}{{ book.title }}{% endfor %}"
    template = Template(f"{{% load cacheops %}}{{% cached_as books 60 'titles' %}}{books}{{% endcached_as %}}")

    def shown() -> str:
        with cacheops.after():
            return template.render(Context({"books": Book.objects.filter(pk=1)}))

    tell_and_catch_up()
    shown()
    assert_hit(shown)
    write(outside, "New")
    tell_and_catch_up()
    assert shown() == "New"
    assert_hit(shown)


def test_who_has_written_sees_it_before_the_relay_and_the_replica_do(browser: Client) -> None:
    assert shows(browser, "Ann")
    pause("replica")
    assert browser.post("/profile/", DETAILS | {"first_name": "Nova"}).status_code == 302
    assert shows(browser, "Nova")
    other = Client()
    other.force_login(User.objects.get(username="ann"))
    assert shows(other, "Ann")


def warm(*arguments: str) -> str:
    told = io.StringIO()
    call_command("warm_cache", *arguments, stdout=told, stderr=told)
    return told.getvalue()


def titles() -> tuple[str, str]:
    return Book.objects.get(pk=1).title, Book.objects.order_by("pk")[0].title


def titles_shown() -> tuple[str, str]:
    """Read as a request does: from where the router says."""
    with cacheops.after():
        return titles()


@pytest.fixture
def targets() -> Iterator[tuple[str, ...]]:
    """Return targets that warm rows, by columns, and what calls read."""
    register_warmer("titles", lambda keys: [Reads([titles])], keys=lambda: ["all"])
    yield "testapp.Book", "titles"
    registry._warmers.pop("titles")


def test_a_region_is_warmed_from_its_replica(outside: Run, targets: tuple[str, ...]) -> None:
    tell_and_catch_up()
    assert f"{REGION}: 17 warmed, 1 already warm, 0 skipped, 0 failed" in warm(*targets)
    assert_hit(titles_shown)
    write(outside, "New")
    tell_and_catch_up()
    assert f"{REGION}: 3 warmed, 15 already warm, 0 skipped, 0 failed" in warm(*targets)
    assert_hit(titles_shown)
    assert titles_shown() == ("New", "New")
    with pytest.raises(CommandError, match=f"run warm_cache in {HOME}"):
        warm("--region", HOME)


def test_nothing_is_warmed_from_a_replica_that_is_behind_the_relay(
    outside: Run, targets: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R18: how far the relay is, is asked behind the leases."""
    tell_and_catch_up()
    monkeypatch.setattr(fanout, "CATCH_UP_SECONDS", 0.0)
    lease = RegionFanout.lease

    def told_before(*arguments: Any, **options: Any) -> Any:
        write(outside, "New")
        tell()
        return lease(*arguments, **options)

    monkeypatch.setattr(RegionFanout, "lease", told_before)
    pause("replica")
    for target in targets:
        assert f"{REGION}: 0 warmed, 0 already warm" in warm(target)
    assert sources(titles_shown) == ["default"]
    assert titles_shown() == ("New", "New")


def test_nothing_is_warmed_where_no_relay_tells(outside: Run, targets: tuple[str, ...]) -> None:
    tell_and_catch_up()
    regions[REGION].store.delete([keys_of("testapp_book").position])
    assert f"{REGION}: 0 warmed, 0 already warm, 18 skipped, 0 failed" in warm(*targets)
    catch_up("replica")
