"""CacheAsideManager: many keys at once, and readers that come together."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from cacheops.patterns import CacheAsideManager
from tests.cacheops.patterns.aside.loading import Calls, entries

pytestmark = pytest.mark.django_db(databases="__all__")


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
