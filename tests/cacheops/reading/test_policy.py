"""The decision whether a read is cached: each reason against it, and that everything else has its profile."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from cacheops.profiles import Profile
from cacheops.reading.options import NOCACHE, QueryOptions, bypassed
from cacheops.reading.policy import Bypass, Source, decide, decide_entry, profile_for, region_bypass
from cacheops.regions import Region
from cacheops.stores.circuit_breaker import CacheCircuitBreaker
from cacheops.stores.memory import MemoryStore
from tests.testapp.models import Book


@dataclass
class State:
    """A connection's part in a decision."""

    alias: str = "default"
    is_cached: bool = True
    snapshot: bool = False
    written: frozenset[str] = frozenset()
    known_session: bool = True
    own_session: bool = False
    refuses: bool = False

    def refuses_queries(self) -> bool:
        return self.refuses

    def has_snapshot(self) -> bool:
        return self.snapshot

    def has_written(self, tables: Iterable[str]) -> bool:
        return not self.written.isdisjoint(tables)

    def has_known_session(self) -> bool:
        return self.known_session

    def has_own_session(self) -> bool:
        return self.own_session


IDLE = State()


def test_a_query_of_a_model_with_a_profile_is_cached_by_it(settings: Any) -> None:
    settings.CACHEOPS = {"testapp.book": {"ops": "get", "timeout": 7}}
    assert decide(Book, "get", IDLE) == Profile(frozenset({"get"}), 7.0)
    longer = decide(Book, "get", IDLE, QueryOptions(timeout=9.0))
    assert isinstance(longer, Profile)
    assert longer.timeout == 9.0


SETTINGS = {
    Bypass.NO_PROFILE: None,
    Bypass.LEVEL: {"ops": "all", "level": "bypass"},
    Bypass.OPERATION: {"ops": "count"},
    Bypass.NO_TIMEOUT: {"ops": "all", "timeout": 0},
}


@pytest.mark.parametrize("reason", SETTINGS)
def test_settings_decide(reason: Bypass, settings: Any) -> None:
    settings.CACHEOPS = {"testapp.book": SETTINGS[reason]}
    assert decide(Book, "get", IDLE) is reason
    assert profile_for(Book, "get") is reason


def test_the_switch_decides_before_all_else(settings: Any) -> None:
    settings.CACHEOPS_ENABLED = False
    assert decide(Book, "get", IDLE) is Bypass.DISABLED
    assert decide_entry((), 1.0) is Bypass.DISABLED


def test_a_block_decides_for_the_code_in_it_alone() -> None:
    with bypassed():
        assert decide(Book, "get", IDLE) is Bypass.BLOCK
        assert decide_entry((), 1.0) is Bypass.BLOCK
        assert isinstance(profile_for(Book, "get"), Profile)
    assert isinstance(decide(Book, "get", IDLE), Profile)


def test_a_querys_options_decide() -> None:
    assert decide(Book, "get", IDLE, NOCACHE) is Bypass.LEVEL


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State(is_cached=False), Bypass.ENGINE),
        (State(refuses=True), Bypass.REFUSED),
        (State(snapshot=True), Bypass.SNAPSHOT),
        (State(known_session=False), Bypass.SESSION),
    ],
)
def test_the_connection_decides(state: State, reason: Bypass) -> None:
    assert decide(Book, "get", state) is reason
    assert decide_entry([Source(Book, state, ())], 1.0) is reason


def test_an_entry_of_code_needs_no_operation_of_its_models(settings: Any) -> None:
    settings.CACHEOPS = {"testapp.book": {}}
    tables = ("testapp_book",)
    assert decide_entry([Source(Book, IDLE, tables)], 1.0) is None
    assert decide_entry([Source(Book, State(written=frozenset(tables)), tables)], 1.0) is Bypass.WRITTEN
    assert decide_entry([Source(Book, State(own_session=True), tables)], 1.0) is Bypass.SESSION
    assert decide_entry([Source(Book, IDLE, tables)], 0.0) is Bypass.NO_TIMEOUT
    settings.CACHEOPS = {"testapp.book": None}
    assert decide_entry([Source(Book, IDLE, tables)], 1.0) is Bypass.NO_PROFILE


def test_an_entry_of_a_follower_depends_on_no_other_database(settings: Any) -> None:
    settings.CACHEOPS_FOLLOWERS = {"replica": "default"}
    follower, primary, other = (Source(Book, State(alias=name), ()) for name in ("replica", "default", "other"))
    assert decide_entry([follower, primary], 1.0) is Bypass.FOLLOWER
    assert [decide_entry(each, 1.0) for each in ([follower, follower], [primary, other])] == [None, None]


def test_reasons_are_sentences() -> None:
    for reason in Bypass:
        assert reason[0].isupper()
        assert reason.endswith(".")


def test_a_region_is_not_asked_while_its_circuit_is_open() -> None:
    now = [100.0]
    region = Region("memory", MemoryStore("policy"), CacheCircuitBreaker(1, 60.0, lambda: now[0]))
    assert region_bypass(region, (), ()) is None
    region.breaker.failed()
    assert region_bypass(region, (), ()) is Bypass.CIRCUIT
    now[0] += 60.0
    assert region_bypass(region, (), ()) is None  # one reader may probe: its guard says which
