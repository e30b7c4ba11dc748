"""Figures come to the region: all of them, once, from every process, also from one that forks or ends."""

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from cacheops.exceptions import StoreUnavailable
from cacheops.instrumentation.counters import counters
from cacheops.monitoring import stats
from cacheops.monitoring.recorder import MAX_MINUTES, REPLICA_SECONDS, Flusher, flusher
from cacheops.monitoring.timeseries import HOUR, MINUTE, TOTAL, TimeSeriesStore, last_periods, period_at, time_series_of
from cacheops.regions import regions

HITS = 500


class Clock:
    def __init__(self, now: float = 1_000_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def counted(region: str, seconds: int, moment: float) -> int:
    sums = time_series_of(regions[region].store).read([period_at(moment, seconds).base])[0]
    return sums.get("r|a.b:get", {}).get("hits", 0)


def test_a_flush_tells_the_minute_the_hour_and_all_time(region: str) -> None:
    clock = Clock()
    own = Flusher(clock)
    for _ in range(3):
        counters.hit("a.b:get", 0.001)
    assert own.flush()
    clock.now += MINUTE
    counters.hit("a.b:get", 0.001)
    assert own.flush()
    assert counted(region, MINUTE, clock.now) == 1
    assert counted(region, HOUR, clock.now) == 4
    assert stats.usage(region).total.hits == 4


def test_a_process_that_counts_nothing_any_more_tells_of_itself(region: str) -> None:
    clock = Clock()
    own = Flusher(clock)
    counters.hit("a.b:get", 0.001)
    assert own.flush()
    clock.now += MINUTE
    assert own.flush()
    sums = time_series_of(regions[region].store).read([period_at(clock.now, MINUTE).base])[0]
    assert sums[f"p|{region}"]["processes"] == 1
    assert "r|a.b:get" not in sums


class Lossy(TimeSeriesStore):
    """Stands before a time-series store: increments come, and their answers are lost."""

    def __init__(self, inner: TimeSeriesStore, losses: int) -> None:
        self.inner, self.losses = inner, losses

    def add(self, increments: Any) -> list[bool]:
        answer = self.inner.add(increments)
        if self.losses:
            self.losses -= 1
            raise StoreUnavailable("The answer was lost.")
        return answer

    def read(self, bases: Any) -> Any:
        return self.inner.read(bases)

    def note(self, key: str, value: bytes, lives: int) -> None:
        self.inner.note(key, value, lives)

    def noted(self, key: str) -> bytes | None:
        return self.inner.noted(key)


def test_figures_whose_answer_was_lost_are_not_added_twice(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = Lossy(time_series_of(regions[region].store), losses=2)
    monkeypatch.setattr("cacheops.monitoring.recorder.time_series_of", lambda store: lossy)
    own = Flusher()
    counters.hit("a.b:get", 0.001)
    assert not own.flush()
    regions[region].breaker.reset()  # it pauses after a failure
    counters.hit("a.b:get", 0.001)
    assert not own.flush()
    regions[region].breaker.reset()
    assert own.flush()
    assert stats.usage(region).total.hits == 2


def test_a_region_that_is_away_is_told_later_up_to_a_bound(
    region: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHEOPS_BREAKER_THRESHOLD, settings.CACHEOPS_BREAKER_RECOVERY = 1, 1e6
    clock = Clock()
    own = Flusher(clock)
    regions[region].breaker.failed()
    for _ in range(MAX_MINUTES + 5):
        counters.hit("a.b:get", 0.001)
        assert not own.flush()
        clock.now += MINUTE
    regions[region].breaker.reset()
    assert own.flush()
    seen = stats.usage(region)
    assert seen.total.hits == MAX_MINUTES
    assert seen.events["metrics"]["dropped_minutes"] == 5
    assert "were dropped" in caplog.text


def test_one_process_of_a_region_looks_at_its_nodes_once_a_minute(region: str) -> None:
    clock = Clock()
    for _ in range(3):  # three processes
        counters.hit("a.b:get", 0.001)
        assert Flusher(clock).flush()
    sums = time_series_of(regions[region].store).read([period_at(clock.now, MINUTE).base])[0]
    nodes = {series: counts for series, counts in sums.items() if series.startswith("n|")}
    assert len(nodes) == len(regions[region].store.inspection.nodes())
    assert {counts["at"] for counts in nodes.values()} == {round(clock.now * 1000)}
    assert sums[f"p|{region}"].items() >= {"processes": 3, "open": 0}.items()


PROCESS = """
    import json, os, sys, django
    from django.conf import settings

    settings.configure(**json.loads(sys.argv[1]), INSTALLED_APPS=["django.contrib.contenttypes", "cacheops"])
    django.setup()
    from cacheops.instrumentation.counters import counters
    from cacheops.monitoring.recorder import flusher
    from cacheops.regions import regions

    regions.local.store.read(["t:{a.b}:e:c"])  # as whoever counts a hit has done

    def work():
        for _ in range(HITS):
            counters.hit("a.b:get", 0.001)
"""

ENDINGS = {
    "its end": "work()",
    "threads": """
import threading
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
""",
    "multiprocessing": """
import multiprocessing
work()
flusher.flush()
children = [multiprocessing.get_context("fork").Process(target=work) for _ in range(3)]
[child.start() for child in children]
[child.join() for child in children]
""",
    "a fork before anything was flushed": """
work()
child = os.fork()
if child == 0:
    work()
    sys.exit(0)
os.waitpid(child, 0)
""",
    "a signal that ends gunicorn's workers": """
import signal
signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))
work()
os.kill(os.getpid(), signal.SIGTERM)
""",
}
TIMES = {
    "its end": 1,
    "threads": 4,
    "multiprocessing": 4,
    "a fork before anything was flushed": 2,
    "a signal that ends gunicorn's workers": 1,
}


@pytest.mark.parametrize("interval", [0.02, 60.0])
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_figure_of_a_process_is_lost_when_it_ends(settings: Any, ending: str, interval: float) -> None:
    program = textwrap.dedent(PROCESS).replace("HITS", str(HITS)) + textwrap.dedent(ENDINGS[ending])
    given = json.dumps(
        {
            "CACHES": {"us-east-1": settings.CACHES["us-east-1"]},
            "CACHEOPS_REGIONS": ["us-east-1"],
            "CACHEOPS_LOCAL_REGION": "us-east-1",
            "CACHEOPS_PREFIX": settings.CACHEOPS_PREFIX,
            "CACHEOPS_METRICS_SECONDS": interval,
            "CACHEOPS_TIMEOUT": 2.0,
        }
    )
    processes = [
        # From Python 3.12 on, forking beside threads warns: here it is what is tested.
        subprocess.Popen(
            [sys.executable, "-W", "ignore:This process", "-c", program, given],
            stderr=subprocess.PIPE,
            cwd=settings.BASE_DIR,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0
    assert stats.usage("us-east-1").total.hits == 2 * HITS * TIMES[ending]


def test_the_sum_of_all_processes_is_what_each_span_holds(region: str) -> None:
    clock = Clock()
    own = Flusher(clock)
    for _ in range(90):
        counters.hit("a.b:get", 0.001)
        counters.read("a.b:get", misses=1)
        own.flush()
        clock.now += 20
    time_series = time_series_of(regions[region].store)
    for seconds in (MINUTE, HOUR):
        periods = last_periods(clock.now, seconds, 120)
        found = time_series.read([period.base for period in periods])
        assert sum(sums.get("r|a.b:get", {}).get("hits", 0) for sums in found) == 90
    assert time_series.read([TOTAL.base])[0]["r|a.b:get"]["misses"] == 90


def test_a_thread_flushes_each_time_it_has_waited(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHEOPS_METRICS_SECONDS = 10
    own, done = Flusher(), iter([False, False, True])
    waits: list[float] = []
    flushes: list[int] = []
    monkeypatch.setattr(own._stop, "wait", lambda seconds: waits.append(seconds) or next(done))
    monkeypatch.setattr(own, "flush", lambda: flushes.append(len(waits)))
    own._run()
    assert flushes == [1, 2]
    assert all(8 <= seconds <= 12 for seconds in waits)


def test_no_thread_is_started_where_the_setting_says_so(settings: Any) -> None:
    settings.CACHEOPS_METRICS_SECONDS = 0
    counters.hit("a.b:get", 0.001)
    assert flusher._thread is None


@pytest.mark.parametrize("waits", [1, 0])
def test_replicas_are_named_once_an_interval_where_writers_wait_for_them(
    region: str, monkeypatch: pytest.MonkeyPatch, waits: int
) -> None:
    clock = Clock()
    store, named = regions[region].store, []
    monkeypatch.setattr(store, "wait_replicas", waits)
    monkeypatch.setattr(store, "note_replicas", lambda: named.append(clock.now))
    processes = [Flusher(clock) for _ in range(3)]
    moments = [clock.now, clock.now + REPLICA_SECONDS]
    for clock.now in (*moments[:1] * 2, moments[1]):
        for process in processes:
            counters.hit("a.b:get", 0.001)
            assert process.flush()
    assert named == moments * waits
