"""Which rows are read most: a sample of the look-ups, counted in the process and summed up in the region.

Every so many look-ups one is recorded, by the tags that it depends on: `serial=A-1` of the devices' table is a name
for a row, also where a join or a list asked for it. A process keeps the names that it met most (a bounded table from
which the rarest half is dropped when it is full, after Metwally et al., "Efficient Computation of Frequent and Top-k
Elements", ICDT 2005) and adds them every few seconds to its region's counts of the hour, of which the highest are
kept. So the order of the often used is right, and the counts of the rarely used are too low. What a process has
recorded since it last sent is lost when it ends.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import CommandRefused, ServerRefused, StoreError
from cacheops.instrumentation.minute_log import minute_log
from cacheops.protocol.keys import USAGE, base_of
from cacheops.protocol.tags import WHOLE_TABLE
from cacheops.regions.region import Region

SEND_SECONDS = 10.0  # between two messages of a process to its region
PROCESS_NAMES = 2000  # that a process holds between two messages
HOUR_NAMES = 10_000  # that a region keeps of an hour: about a megabyte
HOURS = 24  # that are kept
HOUR = 3600


class Hotkeys(Component):
    """The sample of this process, and those of a region. Increments may be lost between threads: it is a sample."""

    def __init__(self) -> None:
        self.left = 0  # look-ups until the next one is recorded
        self._counts: Counter[str] = Counter()
        self._sent_at = time.monotonic()
        self._lock = threading.Lock()

    def record(self, region: Region, tables: Sequence[Any]) -> None:
        """Record one look-up by its tables and tags; send the sample when it is time. Called when `left` is used up."""
        every = conf.usage_sample
        if every <= 0:
            self.left = 1 << 30
            return
        self.left = every - 1
        with self._lock:
            for table in tables:
                for tag in table.tags[:1]:  # the others of a list or a range name the same, or as much
                    if tag != WHOLE_TABLE and "#" not in tag:
                        self._counts[table.keys.tag(tag)] += every
            if len(self._counts) > PROCESS_NAMES:
                self._counts = Counter(dict(self._counts.most_common(PROCESS_NAMES // 2)))
        if time.monotonic() - self._sent_at > SEND_SECONDS:
            self.send(region)

    def send(self, region: Region) -> None:
        """Add the sample to the region's counts, unless it is away: the sample is lost then."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            self._sent_at = time.monotonic()
        if counts:
            key, ttl = hour_key(time.time()), (HOURS + 1) * HOUR
            send = partial(region.store.inspection.add_counts, key, counts, HOUR_NAMES, ttl)
            region.guard().send_nowait(send, _log_refusal)

    def top(self, region: Region, since: float) -> Counter[str]:
        """Return how often each tag (by its key) was read in a region since a moment, by whole hours.

        Empty if the region does not answer: nothing is known then.
        """
        now = time.time()
        first = max(since, now - (HOURS - 1) * HOUR)
        keys = [hour_key(moment) for moment in range(int(first // HOUR) * HOUR, int(now) + 1, HOUR)]
        found: Counter[str] = Counter()
        try:
            for hour in region.store.inspection.top_counts(keys, HOUR_NAMES):
                found.update({name: round(count) for name, count in hour})
        except StoreError as error:
            minute_log.warning(("hotkeys", region.name), "Region %s does not tell what is used: %s", region.name, error)
            return Counter()
        return found

    def settings_changed(self) -> None:
        """Look at the settings at the next look-up."""
        self.left = 0


def _log_refusal(outcome: StoreError | None) -> None:
    if isinstance(outcome, CommandRefused) and not isinstance(outcome, ServerRefused):
        minute_log.warning("hotkeys", "A region refused to count what is used: %s", outcome)


hotkeys = register_component(Hotkeys())


def hour_key(moment: float) -> str:
    """Return the key of an hour's counts. A hash tag of its own, as every key of ours has one by which it is routed."""
    return f"{base_of(conf.prefix, USAGE, str(int(moment // HOUR)))}u"
