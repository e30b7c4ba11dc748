"""People who browse while the fleet posts."""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field

from xyzsite.demo.load.calls import Caller
from xyzsite.demo.load.fleet import LoadDevice


@dataclass
class Browsed:
    """What one reader saw; look-ups are those of the pages' caches."""

    hits: int = 0
    misses: int = 0
    statuses: Counter[int] = field(default_factory=Counter)  # 0: no answer
    seconds: list[float] = field(default_factory=list)


class Reader(threading.Thread):
    """Opens pages at random, at most `rate` a second, until stopped."""

    def __init__(self, url: str, cookie: str, pages: list[str], rate: float, stopped: threading.Event) -> None:
        super().__init__(name="reader", daemon=True)
        self.browsed = Browsed()
        self._caller = Caller(url, {"Cookie": cookie})
        self._pages = pages
        self._step = 1 / rate
        self._stopped = stopped

    def run(self) -> None:
        seen = self.browsed
        while not self._stopped.wait(self._step):
            answer = self._caller.get(random.choice(self._pages))
            seen.statuses[answer.status] += 1
            seen.seconds.append(answer.seconds)
            seen.hits += answer.hits
            seen.misses += answer.misses
        self._caller.close()


def pages_of(devices: list[LoadDevice]) -> list[str]:
    """Return what is browsed: overviews, analytics, and the devices that are posting."""
    shared = ["/", "/locations/", "/locations/load-test/", "/analytics/?metric=temperature&window=24h", "/api/devices"]
    own = [path for device in devices[:10] for path in (f"/devices/{device.serial}/", f"/api/devices/{device.serial}")]
    return shared * 2 + own


def start_readers(
    url: str, cookie: str, pages: list[str], readers: int, rate: float, stopped: threading.Event
) -> list[Reader]:
    """Start readers, who open `rate` pages a second together."""
    people = [Reader(url, cookie, pages, rate / readers, stopped) for _ in range(readers)]
    for reader in people:
        reader.start()
    return people


def all_browsed(people: list[Reader]) -> Browsed:
    """Return what all readers saw."""
    total = Browsed()
    for reader in people:
        total.hits += reader.browsed.hits
        total.misses += reader.browsed.misses
        total.statuses += reader.browsed.statuses
        total.seconds += reader.browsed.seconds
    return total
