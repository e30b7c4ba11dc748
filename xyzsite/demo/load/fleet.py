"""The fleet: devices that post a reading at a time, and send it again until it is acknowledged."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from xyzsite.demo.load.calls import Caller

ACKNOWLEDGED = {200, 201, 202}
PAUSE_SECONDS = 0.1  # before a reading without an answer is sent again


@dataclass(frozen=True, slots=True)
class LoadDevice:
    """A device of the fleet."""

    id: int
    serial: str
    metric: str


@dataclass(frozen=True)
class World:
    """What the fleet and the readers call with."""

    devices: list[LoadDevice]
    token: str
    cookie: str


@dataclass
class Posted:
    """What one poster sent: (device's id, moment) -> value. What is acknowledged may never be lost."""

    sent: dict[tuple[int, datetime], float] = field(default_factory=dict)
    acknowledged: dict[tuple[int, datetime], float] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)  # "accepted", "stored", "known"; statuses; "no answer"
    seconds: list[float] = field(default_factory=list)  # of each call that was acknowledged


class Poster(threading.Thread):
    """Posts for some devices in turn, at most `rate` readings a second, until stopped."""

    def __init__(self, caller: Caller, devices: list[LoadDevice], rate: float, stopped: threading.Event) -> None:
        super().__init__(name="poster", daemon=True)
        self.posted = Posted()
        self._caller = caller
        self._devices = devices
        self._step = 1 / rate
        self._stopped = stopped

    def run(self) -> None:
        due = time.monotonic()
        last = datetime.now(UTC)
        while not self._stopped.is_set():
            for device in self._devices:
                # Never the same moment twice: a device has one reading at a moment.
                last = max(datetime.now(UTC), last + timedelta(microseconds=1))
                self._post(device, last, round(random.uniform(15, 25), 3))
                due = max(due + self._step, time.monotonic() - 1)
                if self._stopped.wait(max(0.0, due - time.monotonic())):
                    break
        self._caller.close()

    def _post(self, device: LoadDevice, moment: datetime, value: float) -> None:
        """Send a reading until it is acknowledged; give up only when the end has come."""
        posted, key = self.posted, (device.id, moment)
        posted.sent[key] = value
        while True:
            answer = self._caller.post(
                f"/api/devices/{device.serial}/readings", {"value": value, "taken_at": moment.isoformat()}
            )
            if answer.status in ACKNOWLEDGED:
                posted.acknowledged[key] = value
                posted.answers[answer.document["result"]] += 1
                posted.seconds.append(answer.seconds)
                return
            posted.answers[str(answer.status or "no answer")] += 1
            if self._stopped.wait(answer.retry_after or PAUSE_SECONDS):
                return


def start_fleet(
    url: str, token: str, devices: list[LoadDevice], posters: int, rate: float, stopped: threading.Event
) -> list[Poster]:
    """Share the devices among posters, which post `rate` readings a second together."""
    headers = {"Authorization": f"Bearer {token}"}
    shares = [devices[number::posters] for number in range(posters)]
    fleet = [Poster(Caller(url, headers), share, rate / posters, stopped) for share in shares if share]
    for poster in fleet:
        poster.start()
    return fleet


def all_posted(fleet: list[Poster]) -> Posted:
    """Return what all posters have posted."""
    total = Posted()
    for poster in fleet:
        total.sent |= poster.posted.sent
        total.acknowledged |= poster.posted.acknowledged
        total.answers += poster.posted.answers
        total.seconds += poster.posted.seconds
    return total
