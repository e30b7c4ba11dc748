"""The judge of `make faults` is judged: it sees a cache that is wrong, a reading that is gone, a page that fails."""

from typing import Any

import pytest

from cacheops.orm import transaction
from cacheops.writing import intent
from devices.models import Reading
from tests.faults.judge import Editions, Row, Seen, seconds_to_recover
from tests.faults.load import Load, Scene
from tests.waiting import until
from users.models import User
from xyzsite.demo.load.account import account_of
from xyzsite.demo.load.world import make_world
from xyzsite.localregions.plan import HOME


class Silent(intent.WriteIntent):
    """Tells nobody of a write."""

    def mark(self) -> None:
        pass

    def clear(self) -> None:
        pass


@pytest.fixture
def scene(transactional_db: None, live_server: Any) -> Scene:
    world = make_world(4)
    User.objects.create_user("ann", password="a good pass phrase", is_staff=True)
    return Scene.of({HOME: live_server.url}, world, "ann", "a good pass phrase")


def test_nothing_is_found_where_nothing_is_wrong_but_a_reading_that_is_dropped(scene: Scene) -> None:
    with Load(scene) as load:
        load.wait_for_all()
    row = Row("none")
    row.add(load.seen)
    assert not row.counts, [one for one in load.seen if one.kind]
    assert account_of(load.posted, readings()).right
    device, moment = next(iter(load.posted.acknowledged))
    Reading.objects.filter(device_id=device, taken_at=moment).delete()
    assert account_of(load.posted, readings()).lost == 1


def test_an_engine_that_invalidates_nothing_is_seen(scene: Scene, monkeypatch: Any) -> None:
    for module in (intent, transaction):
        monkeypatch.setattr(module, "WriteIntent", Silent)
    with Load(scene) as load:
        until(lambda: any(one.kind == "stale" for one in load.seen), "a stale name is seen")


def readings() -> list[Any]:
    return list(Reading.objects.values_list("device_id", "taken_at", "value"))


def test_each_answer_counts_as_what_it_is() -> None:
    seen = [
        Seen("browser", 0, 1, 200),
        Seen("browser", 1, 2, 503, retry_after=True),
        Seen("browser", 2, 3, 503),
        Seen("browser", 3, 4, 302),  # to the sign-in page: somebody was signed out
        Seen("device", 4, 5, 0),
        Seen("browser", 6, 7, 200, unchecked=True),
        Seen("browser", 8, 9, 200, stale=True),
    ]
    row = Row("some", lost=1)
    row.add(seen)
    assert row.requests == 7
    assert row.counts == {"503": 1, "failed": 2, "no answer": 1, "unchecked": 1, "stale": 1}
    assert row.broken(frozenset({"503", "lost"})) == ["failed", "no answer", "stale"]
    assert seconds_to_recover(seen, 2.5) == 2.5
    assert seconds_to_recover(seen, 6) == 0


def test_a_name_is_stale_once_a_newer_one_was_acknowledged() -> None:
    editions = Editions()
    for number in (1, 2, 3):
        editions.sent(number)
    editions.acknowledged(1, 10.0)
    editions.acknowledged(3, 20.0)
    assert editions.is_stale(0, 10.0)
    assert not editions.is_stale(1, 19.0)  # the read began before
    assert editions.is_stale(1, 20.0)
    assert not editions.is_stale(2, 30.0)  # nobody knows when it was written
    assert not editions.is_stale(3, 30.0)
