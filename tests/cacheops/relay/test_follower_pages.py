"""Pages of a follower region: its cache, its replica, and what who reads them has written."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.test import Client

from tests.cacheops.relay import follower
from tests.cacheops.relay.follower import Run, sources, tell_and_catch_up
from tests.replica import pause
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


def test_who_has_written_sees_it_before_the_relay_and_the_replica_do(browser: Client) -> None:
    assert shows(browser, "Ann")
    pause("replica")
    assert browser.post("/profile/", DETAILS | {"first_name": "Nova"}).status_code == 302
    assert shows(browser, "Nova")
    other = Client()
    other.force_login(User.objects.get(username="ann"))
    assert shows(other, "Ann")
