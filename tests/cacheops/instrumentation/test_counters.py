"""Counting: exact between threads, bounded in memory, handed over once."""

import os
import threading

import pytest

from cacheops.instrumentation import counters as module
from cacheops.instrumentation.counters import Counters


@pytest.fixture
def counters() -> Counters:
    return Counters()


def test_nothing_is_lost_between_threads_while_others_take(counters: Counters) -> None:
    each, threads = 3_000, 4
    done = threading.Event()
    taken: list[int] = []

    def take() -> None:
        while not done.is_set():
            taken.append(counters.take().get("r|a.b:get", {}).get("hits", 0))

    taker = threading.Thread(target=take)
    taker.start()
    workers = [
        threading.Thread(target=lambda: [counters.hit("a.b:get", 1e-4) for _ in range(each)]) for _ in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done.set()
    taker.join()
    taken.append(counters.take().get("r|a.b:get", {}).get("hits", 0))
    assert sum(taken) == each * threads == counters.hits["a.b:get"]


def test_what_was_taken_is_not_taken_again_and_totals_stay(counters: Counters) -> None:
    counters.read("a.b:get", misses=2)
    assert counters.take() == {"r|a.b:get": {"misses": 2}}
    assert counters.take() == {}
    assert counters.misses == {"a.b:get": 2}


def test_hits_come_with_their_durations(counters: Counters) -> None:
    counters.hit("a.b:get", 0.001)
    counters.hit("a.b:get", 0.001)
    assert counters.take() == {"r|a.b:get": {"hits": 2, "l:80": 2, "l:us": 2000}}


def test_the_first_item_of_a_process_is_told_and_only_the_first(counters: Counters) -> None:
    told: list[int] = []
    counters.on_first = lambda: told.append(1)
    counters.read("a.b:get", misses=1)
    counters.hit("a.b:get", 0.001)
    assert told == [1]


def test_a_long_log_is_folded_on_the_way(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM", 10)
    for _ in range(100):
        counters.hit("a.b:get", 0.001)
    assert len(counters._log) <= 10
    assert counters.hits.total() == 100


def test_names_made_from_data_do_not_fill_memory(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SERIES", 3)
    for number in range(10):
        counters.read(f"fragment.{number}:call", misses=1)
    assert len(counters.totals()) == 4
    assert counters.take()["r|other"] == {"misses": 7}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12 says so
def test_a_forks_child_starts_from_nothing() -> None:
    module.counters.read("fork.test:get", misses=1)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(module.counters.misses["fork.test:get"]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    assert os.read(read, 10) == b"0"
    os.close(read)
    assert module.counters.misses["fork.test:get"] == 1
