"""Send the region what this process has counted: every few seconds, from a thread of its own, and at its end.

The thread starts with the first thing counted in each process, so a fork's child (a gunicorn worker) has its own. A
region that does not answer gets it later; what waits for it is bounded, as everything is summed up by minutes, and the
oldest minutes are dropped first. An increment whose reply was lost keeps its name, so it is never added twice.
"""

import atexit
import logging
import multiprocessing.util
import os
import random
import threading
import time
from collections.abc import Callable

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import CommandRefused, ServerRefused, StoreUnavailable
from cacheops.instrumentation.counters import MAX_USES, Sums, Use, add_sums, counters
from cacheops.instrumentation.tracing import tracing
from cacheops.monitoring.nodes import own_counts, poll_nodes
from cacheops.monitoring.timeseries import HOUR, MINUTE, TOTAL, Increment, Period, period_at, time_series_of
from cacheops.regions import Region, regions

logger = logging.getLogger("cacheops")

MAX_MINUTES = 60  # that wait for a region; some 10 kB each
USE_SECONDS = 4 * HOUR  # after which an entry that is still read is counted once more
REPLICA_SECONDS = 10.0  # between two looks for new replicas: a fail-over to one that was not seen yet costs all hits
EXIT_SECONDS = 2.0  # that a process waits for its thread when it ends


class Flusher(Component):
    """Brings `counters` to the time series of the local region. `clock` returns seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._made_by = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything: this is a fork's child."""
        self.lock = threading.Lock()
        self._waiting: dict[int, Sums] = {}  # by minute
        self._sent: list[Increment] = []  # whose answer is not known
        self._uses: list[Increment] = []  # first reads of sampled entries
        self._looked_at = 0  # the minute in which the process's state and the nodes were last noted
        self._named_at = 0  # the interval in which the replicas were last named to their primaries
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to flush from a thread, once a process."""
        if not conf.metrics_seconds or self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="cacheops-metrics", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the process is ending, or may have no more threads
            logger.debug("Counts are sent at the end only: %s", error)
        if self._made_by != os.getpid():
            self._made_by = os.getpid()
            atexit.register(self.close)
            multiprocessing.util.Finalize(None, self.close, exitpriority=0)  # its children end without atexit

    def _run(self) -> None:
        while not self._stop.wait(conf.metrics_seconds * random.uniform(0.8, 1.2)):  # not all processes at once
            self.flush()

    def close(self) -> None:
        """Flush a last time. Called when the process ends."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(EXIT_SECONDS)
        if self.lock.acquire(timeout=EXIT_SECONDS):
            try:
                self._flush()
            finally:
                self.lock.release()

    def flush(self) -> bool:
        """Send the region what was counted; return whether all of it was added. Raise nothing for a dead region."""
        with self.lock:
            return self._flush()

    def _flush(self) -> bool:
        tracing.install()
        self._collect()
        region = regions.local
        minute = period_at(self._clock(), MINUTE).number
        if not (self._waiting or self._sent) and self._looked_at in (0, minute):
            return True  # nothing is new; a process that has never counted anything is none of the region's
        try:
            with region.guard():
                self._send(region)
                if minute != self._looked_at:
                    self._looked_at = minute
                    self._look(region, minute)
                self._name_replicas(region, minute)
        except (StoreUnavailable, ServerRefused):
            pass  # its guard has reported it; what was counted is sent the next time
        except CommandRefused as error:
            logger.warning("Region %s refused to take counts: %s", region.name, error)
        return not (self._waiting or self._sent)

    def _collect(self) -> None:
        fresh = counters.take()
        if fresh:
            minute = period_at(self._clock(), MINUTE).number
            add_sums(self._waiting.setdefault(minute, {}), fresh)
        self._uses = (self._uses + [increment_of_use(use) for use in counters.take_uses()])[:MAX_USES]
        while len(self._waiting) > MAX_MINUTES:
            dropped = self._waiting.pop(min(self._waiting))
            add_sums(self._waiting[max(self._waiting)], {"e|metrics": {"dropped_minutes": 1}})
            logger.warning("Counts of a minute were dropped (%d series): their region does not answer.", len(dropped))

    def _send(self, region: Region) -> None:
        """Send again what may not have come, then what waits."""
        time_series = time_series_of(region.store)
        if self._sent:
            time_series.add(self._sent)
            self._sent = []
        if self._waiting:
            self._sent, self._waiting = increments_of(self._waiting), {}
            time_series.add(self._sent)
            self._sent = []
        if self._uses:
            time_series.add(self._uses)  # each has a name of its own: also when it comes again, it counts once
            self._uses = []

    def _look(self, region: Region, minute: int) -> None:
        """Once a minute: note this process's breakers and connections, and let one process poll the nodes."""
        states = {f"p|{each.name}": own_counts(each) for each in regions}
        time_series_of(region.store).add([increment(Period(MINUTE, minute), states)])
        poll_nodes(region, self._clock())

    def _name_replicas(self, region: Region, minute: int) -> None:
        """Let one process name the replicas to their primaries: one that takes over then keeps its hits."""
        interval = int(self._clock() // REPLICA_SECONDS)
        store, period = region.store, Period(MINUTE, minute)
        if not store.wait_replicas or interval == self._named_at:  # else they may lack marks
            return
        self._named_at = interval
        if any(time_series_of(store).add([increment(period, {}, f"replicas:{interval}")])):
            store.note_replicas()


def increments_of(by_minute: dict[int, Sums]) -> list[Increment]:
    """Return increments for the minutes, for their hours, and for all time."""
    periods: dict[Period, Sums] = {}
    for minute, sums in by_minute.items():
        for period in (Period(MINUTE, minute), Period(HOUR, minute * MINUTE // HOUR), TOTAL):
            add_sums(periods.setdefault(period, {}), sums)
    return [increment(period, sums) for period, sums in periods.items()]


def increment_of_use(use: Use) -> Increment:
    """Return the first read of a sampled entry, in the hour in which the entry was made: it counts once a region."""
    period = period_at(use.made_at, HOUR)
    name = f"u:{use.digest}:{use.made_at:.6f}"
    return Increment(period.base, name, period.lives, {f"r|{use.label}": {"sampled_used": 1}}, USE_SECONDS)


def increment(period: Period, sums: Sums, name: str = "") -> Increment:
    """Return an increment; one without a name of its own is like no other."""
    return Increment(period.base, name or os.urandom(8).hex(), period.lives, sums)


flusher = register_component(Flusher())


def _before_fork() -> None:
    """Let a flush end first, so that the child inherits no lock that its thread holds."""
    flusher.lock.acquire()


def _in_parent() -> None:
    flusher.lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=flusher.reset)


def install() -> None:
    """Have each process flush from its first count on. Called once, when Django is ready."""
    counters.on_first = flusher.start
