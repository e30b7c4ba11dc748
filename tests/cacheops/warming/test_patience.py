"""A region that is away for a moment is asked again; one that stays away is given up."""

import pytest

from cacheops.exceptions import StoreUnavailable
from cacheops.regions import regions
from cacheops.warming import Rows, fanout
from tests.testapp.cached import is_hit
from tests.testapp.models import Book

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]


def away(monkeypatch, times):
    """Let the home region not answer so many calls."""
    store = regions["us-east-1"].store
    lease_tags, left = store.lease_tags, list(range(times))

    def lease(*args):
        if left:
            left.pop()
            raise StoreUnavailable("away")
        return lease_tags(*args)

    monkeypatch.setattr(store, "lease_tags", lease)
    monkeypatch.setattr(fanout, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(fanout, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(regions["us-east-1"].breaker, "allows", lambda **options: True)


@pytest.mark.parametrize(("times", "warmed"), [(1, 1), (2, 1), (3, 0)])
def test_a_region_that_comes_back_is_warmed(times, warmed, monkeypatch):
    away(monkeypatch, times)
    regions_warmed = fanout.RegionFanout(("us-east-1",), fanout.Source("default", None))
    Rows(Book, [1], "default").warm(regions_warmed)
    regions_warmed.close()
    outcome = regions_warmed.outcomes["us-east-1"]
    assert (outcome.warmed, outcome.failed) == (warmed, 1 - warmed)
    assert is_hit("default", lambda: Book.objects.get(pk=1)) is bool(warmed)
