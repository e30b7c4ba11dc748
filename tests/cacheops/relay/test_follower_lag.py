"""How far a follower region is behind: its relay and its replica apart; what is left there of the time before."""

import io
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from cacheops.invalidation import primary_databases
from cacheops.models import Control, QueuedInvalidation
from cacheops.panel import overview
from cacheops.panel.actions import ACTIONS
from cacheops.panel.switches import pause as pause_model
from cacheops.panel.switches import resume as resume_model
from cacheops.regions import regions
from cacheops.regions.lag import lag_meter
from cacheops.relay import delivery
from cacheops.relay.lag import relay_lag_meter, told_until
from tests.cacheops.relay import follower
from tests.cacheops.relay.follower import HOME, REGION, Run, relay_at_work, tell_and_catch_up, tell_by, title, write
from tests.replica import follow, pause, resume
from tests.testapp.models import Book
from tests.waiting import until
from users.models import User
from xyzsite.replica import measure, relay_gauges, too_far

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
outside = follower.outside


@pytest.fixture
def operator() -> Iterator[User]:
    """Create an administrator, and delete them: these tests commit."""
    user = User.objects.create_superuser("operator")
    yield user
    user.delete()


def relay_seconds() -> float:
    lag_meter.measure("replica", "default")
    lag = relay_lag_meter.measure("replica")
    assert lag is not None
    return lag.seconds


def test_a_relay_that_stops_falls_behind_and_the_replica_does_not(outside: Run, settings: Any) -> None:
    assert relay_seconds() == math.inf  # none has ever told the region
    with relay_at_work() as one:
        one.work_until(one.send_note())
        until(lambda: one.work(0.01) is not None and relay_seconds() == 0, "it is known to have told all")
        write(outside, "Not told yet")
        assert relay_seconds() > 0
        follow("replica")
        lags = measure()
        assert lags["replica"].seconds == 0
        assert lags["relay"].bytes > 0
        found = relay_gauges()
        assert (found["up"], found["at_work"]) == (1, 1)
        assert found["lag_bytes"] > 0
        assert found["held_bytes"] > 0
        settings.CACHEOPS_MAX_LAG = 0.001
        assert too_far(lags) == ["relay"]


def test_a_replica_that_stands_still_does_and_the_relay_does_not(outside: Run) -> None:
    with relay_at_work() as one:
        tell_by(one)
        pause("replica")
        write(outside, "Told")
        until(lambda: one.work(0.01) is not None and relay_seconds() == 0, "the relay has told it")
        assert lag_meter.measure("replica", "default").bytes > 0  # type: ignore[union-attr]
    resume("replica")


def test_pages_health_and_panel_tell_of_both(outside: Run, operator: User, settings: Any) -> None:
    tell_and_catch_up()
    browser = Client()
    browser.force_login(operator)
    page = browser.get("/profile/")
    assert re.search(r', replica(;dur=\d+)?;desc="\d+ bytes behind", relay', page["Server-Timing"])
    assert re.search(r"<span>relay (far|[\d.]+ s) behind</span>", page.content.decode())
    home = overview.home()
    assert list(home.followers) == ["replica"]
    assert [state.words().split(";")[0] for state in home.relays] == [
        "us-east-1: installed, and no relay has run yet. Run `manage.py relay --region us-east-1`.",
        "us-west-2: NO RELAY IS AT WORK, and the database keeps its log for it",
    ]
    assert "Relay of us-west-2: NO RELAY" in browser.get("/admin/cacheops/panel/").content.decode()
    settings.CACHEOPS_MAX_LAG = 0.001
    write(outside, "Not told")
    follow("replica")
    health = browser.get("/healthz")
    assert (health.status_code, health.json()["status"], health.json()["behind"]) == (200, "lagging", ["relay"])
    settings.XYZ_LAG_FAILS_HEALTH = True
    assert browser.get("/healthz").status_code == 503


def test_an_invalidation_by_hand_says_how_far_the_followers_are(
    outside: Run, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the home region, which knows the replica by its relay alone."""
    settings.CACHEOPS_LOCAL_REGION = HOME

    def invalidated() -> str:
        said = io.StringIO()
        call_command("invalidate", "testapp.book", stdout=said)
        return said.getvalue()

    assert "us-west-2 follows, and no relay has told it yet" in invalidated()
    with relay_at_work() as one:
        one.work_until(one.send_note())

        def told_meanwhile(*arguments: Any) -> str | None:
            found = told_until(*arguments)
            one.work_until(one.send_note())
            return found

        monkeypatch.setattr(delivery, "told_until", told_meanwhile)
        assert "us-west-2 was told, by the log up to 0" in invalidated()
        monkeypatch.undo()
    settings.CACHEOPS_MAX_LAG = 0.001
    assert "of the log behind after 0.001 s: it serves nothing" in invalidated()
    done = ACTIONS["invalidate-model"].call({"model": Book}, "ann")
    assert done.text.startswith("Invalidated testapp.Book, in us-east-1. us-west-2 is ")
    assert not done.complete


def test_what_waited_for_a_region_before_it_followed_is_told_and_gone(outside: Run) -> None:
    QueuedInvalidation.objects.create(region=REGION, table="testapp_book")
    follow("replica")  # which has the row, too
    regions[REGION].outbox.recheck()
    assert title() == "Title 0"
    regions.drain_queue(REGION, primary_databases())
    assert not QueuedInvalidation.objects.exists()


def test_a_switch_is_set_where_it_can_be_written(outside: Run) -> None:
    assert "replica" not in primary_databases()
    pause_model(Book, 60, "ann")
    assert Control.objects.count() == 1
    assert resume_model(Book)
