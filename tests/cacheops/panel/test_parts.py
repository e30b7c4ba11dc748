"""Parts of the panel that need no page: at the edges of what they tell apart."""

from threading import Event
from time import monotonic
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser, User

from cacheops.encoding.rows import decode, encode
from cacheops.monitoring.keyspace import KeyDistribution, KeyGroup
from cacheops.monitoring.nodes import NodeStats
from cacheops.monitoring.stats import Reads
from cacheops.panel import overview
from cacheops.panel.entry_page import tag_states
from cacheops.panel.forms import PatternForm
from cacheops.panel.models_page import Row
from cacheops.panel.overview import BETWEEN_LOOKS, OwnLooks
from cacheops.panel.permissions import shown_key
from cacheops.panel.polling import PATIENCE, Answers, Unavailable
from cacheops.panel.region_page import LargeKey, largest
from cacheops.profiles import Profile
from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import VERSION_BYTES
from cacheops.reading.request import Request
from cacheops.stores.base import TableTags

LATE = f"It has not answered within {PATIENCE:g} s."
BOOKS = TableKeys.of("co", "default", "testapp_book")


def test_the_largest_keys_are_told_and_which_of_them_are_entries() -> None:
    assert largest(None, AnonymousUser()) == ()
    groups = (
        KeyGroup("testapp.book", "entries", 2, 90, ((BOOKS.entry("a"), 60), (BOOKS.entry("b"), 30))),
        KeyGroup("testapp.book", "tags", 1, 40, ((BOOKS.tag("id=1"), 40),)),
    )
    found = largest(KeyDistribution("us-east-1", 3, True, groups), User(is_superuser=True))
    assert found == (
        LargeKey(BOOKS.entry("a"), 60, True),
        LargeKey(BOOKS.tag("id=1"), 40, False),
        LargeKey(BOOKS.entry("b"), 30, True),
    )


def test_a_model_s_level_is_told_with_its_seconds() -> None:
    profiles = (None, Profile(), Profile(level="stale_ok", seconds=30.0))
    rows = [Row("a.b", None, profile, Reads(), None, None) for profile in profiles]
    assert [row.level for row in rows] == ["", "fresh", "stale_ok(30)"]


def test_keys_by_name_are_shown_whole_to_superusers_alone() -> None:
    key = TableKeys.of("co", "+", "device").entry("device:7:data")
    assert shown_key(key, User(is_superuser=True)) == key
    assert "device:7" not in shown_key(key, User())
    assert shown_key("", User()) == ""


@pytest.mark.parametrize(("pattern", "taken"), [("device:7:*", True), ("a", True), ("*", False), ("?*?", False)])
def test_a_pattern_is_taken_as_it_is_unless_it_matches_all(pattern: str, taken: bool) -> None:
    form = PatternForm({"pattern": pattern})
    assert form.is_valid() is taken
    assert form.cleaned_data.get("pattern") == (pattern if taken else None)


def test_an_entry_of_fewer_tags_than_are_asked_for_does_not_agree() -> None:
    request = Request("a", (TableTags(BOOKS, ("id=1",), ("id",)),), Profile(), "testapp.book:get")
    one, two = b"1" * VERSION_BYTES, b"2" * VERSION_BYTES
    entry = decode(encode([], one, 0.0, 0.0, 0.0))
    assert [tag.agrees for tag in tag_states(request, (one, two), entry)] == [True, False]
    assert [tag.agrees for tag in tag_states(request, (two, None), entry)] == [False, False]
    assert [(tag.state, tag.agrees) for tag in tag_states(request, (one, None), None)] == [
        ("clean", None),
        ("absent", None),
    ]


def test_an_answer_is_waited_for_once_and_shown_again_for_as_long_as_it_is_kept() -> None:
    answers, asked, may_answer = Answers(), [], Event()

    def call() -> int:
        asked.append(1)
        may_answer.wait(60)
        return len(asked)

    for _ in range(2):  # the second asks while the first has no answer
        assert answers.ask({"us-east-1": call}, kept=0.0, until=0.0) == {"us-east-1": Unavailable(LATE)}
    may_answer.set()
    for kept, found in ((3600.0, 1), (3600.0, 1), (0.0, 2)):
        assert answers.ask({"us-east-1": call}, kept=kept, until=monotonic() + 60) == {"us-east-1": found}
    answers.forget()
    assert answers.ask({"us-east-1": call}, kept=3600.0, until=monotonic() + 60) == {"us-east-1": 3}


def test_rates_are_told_from_the_fourth_second_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0, time=lambda: clock.now)
    monkeypatch.setattr(overview, "time", clock)
    looks, server = OwnLooks(), "127.0.0.1:1"
    rates = []
    for seconds, commands in ((0.0, 0), (BETWEEN_LOOKS - 1, 30), (1.0, 40), (BETWEEN_LOOKS, 80)):
        clock.now += seconds
        found = looks.with_rates(NodeStats(server, role="primary", total_commands_processed=commands)).rates
        rates.append(found and (found.seconds, found.operations))
    assert rates == [None, None, (BETWEEN_LOOKS, 10.0), (BETWEEN_LOOKS, 10.0)]
    away = NodeStats(server, error="refused")
    assert looks.with_rates(away) is away
