"""The log while a region is away: one line a change of its state, and one a minute that counts."""

from typing import Any

import pytest

from cacheops.models import QueuedInvalidation
from cacheops.regions import regions
from cacheops.signals import region_state_changed
from cacheops.writing.changes import Changes
from cacheops.writing.intent import WriteIntent

AWAY = "us-west-2"

pytestmark = pytest.mark.django_db


@pytest.fixture
def _away(settings: Any) -> None:
    """Have this process run in its own memory, and another region's servers be where nobody listens."""
    memory = {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": "log"}
    options = settings.CACHES[AWAY]["OPTIONS"] | {"PAUSE_AFTER_FAILURE": 0}
    away = {**settings.CACHES[AWAY], "LOCATION": "redis://127.0.0.1:1", "OPTIONS": options}
    settings.CACHES = {**settings.CACHES, "us-east-1": memory, AWAY: away}
    settings.CACHEOPS_REGIONS = ("us-east-1", AWAY)
    settings.CACHEOPS_LOCAL_REGION = "us-east-1"


@pytest.mark.usefixtures("_away")
def test_a_region_that_is_away_has_a_line_a_change_and_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    states: list[bool] = []

    def note(reachable: bool, **others: Any) -> None:
        states.append(reachable)

    region_state_changed.connect(note)
    changes = Changes()
    changes.add("testapp_author", None, "test")
    for _ in range(20):
        WriteIntent("default", changes).mark()
    assert QueuedInvalidation.objects.filter(region=AWAY).count() == 20
    regions[AWAY].breaker.guard("Cache").report(None)  # another user of these servers has had an answer
    first, opened, closed = [record.getMessage() for record in caplog.records if record.name == "cacheops"]
    assert first.startswith(f"Region {AWAY} could not be told of a write: ")
    assert "since the last line" not in first
    assert opened.startswith(f"Region {AWAY} does not answer; reads go to the database: ")
    assert closed == f"Region {AWAY} answers again after 0 s; 19 more writes could not be told."
    assert states == [False, True]
