"""One process of the platform: reads commands, a JSON object a line, and answers each with a JSON object a line.

python -m benchmarks.pages_worker plain|cachalot|cached
"""

import gc
import itertools
import json
import random
import re
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from django.conf import settings

STATEMENTS = re.compile(r'sql;desc="(\d+)"')
SPREAD, PAGES = 1.1, 100  # the exponent of Zipf's law; addresses


def set_up(name: str) -> None:
    """Load the platform's settings; but for "cached" with Django's own engine and sessions, and without our cache."""
    if name != "cached":
        for database in settings.DATABASES.values():
            database["ENGINE"] = database["ENGINE"].replace("cacheops.db.", "django.db.")
        settings.CACHEOPS_ENABLED = False
        settings.CACHES["parts"] = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    if name == "cachalot":
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "cachalot"]
        address = settings.CACHES[settings.XYZ_REGION]["LOCATION"]
        settings.CACHES["default"] = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": address}
    django.setup()


class Visitor:
    """A signed-in person's browser."""

    def __init__(self) -> None:
        from django.core.handlers.wsgi import WSGIHandler
        from django.test import Client, RequestFactory

        from devices.models import Device
        from users.models import User

        self.client = Client()
        self.devices = list(Device.objects.filter(status="active"))
        self.client.force_login(User.objects.filter(is_staff=True).order_by("pk")[0])
        self.handler, self.requests = WSGIHandler(), RequestFactory()
        self.requests.cookies = self.client.cookies

    def pages(self) -> dict[str, Any]:
        from devices.models import Device

        device = Device.objects.select_related("location").filter(status="active").order_by("pk")[0]
        return {
            "pages": [
                "/",
                "/locations/",
                f"/locations/{device.location.code}/",
                f"/devices/{device.serial}/",
                "/analytics/",
                "/api/devices",
            ]
        }

    def run(self, page: str, count: int) -> dict[str, Any]:
        """Return nanoseconds of each request: of the processor's time, and of the clock's."""
        worked, took = [], []
        gc.collect()
        for _ in range(count):
            began, at = time.thread_time_ns(), time.perf_counter_ns()
            answer = self.client.get(page)
            worked.append(time.thread_time_ns() - began)
            took.append(time.perf_counter_ns() - at)
            if answer.status_code != 200:
                raise RuntimeError(f"{page}: {answer.status_code}")
        return {"worked": worked, "took": took}

    def mix(self, seconds: float, writes: float, seed: int) -> dict[str, Any]:
        """Ask for pages by Zipf's law, and record readings, for a while.

        Return how many a second, by the clock and of the processor's time, and the SQL statements of a page.
        """
        done = asked = statements = 0
        drawn = self.drawn(self.many_pages(), random.Random(seed), writes)
        began, own = time.monotonic(), time.process_time()
        while time.monotonic() < began + seconds:
            page = next(drawn)
            done += 1
            if not page:
                continue
            answer = self.client.get(page)
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.request['PATH_INFO']}: {answer.status_code}")
            asked += 1
            statements += int(STATEMENTS.findall(answer["Server-Timing"])[0])
        took, worked = time.monotonic() - began, time.process_time() - own
        return {"a second": done / took, "of the processor": done / worked, "sql": statements / max(asked, 1)}

    def many(self, count: int, writes: float, new: float, seed: int) -> dict[str, Any]:
        """Answer so many requests, some for addresses that nobody has asked for; return the process' memory then."""
        chance = random.Random(seed)
        for page in itertools.islice(self.drawn(self.many_pages(), chance, writes), count):
            if not page:
                continue
            if chance.random() < new:
                page += f"{'&' if '?' in page else '?'}search={chance.getrandbits(40):x}"
            # As a server asks: each request of Django's test client leaves finalizers of signals, some 1 kB.
            answer = self.handler.get_response(self.requests.get(page))
            answer.close()
            if answer.status_code not in (200, 422):  # the API knows its parameters
                raise RuntimeError(f"{page}: {answer.status_code}")
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        return {"megabytes": resident * resource.getpagesize() / 2**20}

    def drawn(self, pages: Sequence[str], chance: random.Random, writes: float) -> Iterator[str]:
        """Yield addresses by Zipf's law, for ever; "" where it has recorded a reading instead."""
        weights = [1 / rank**SPREAD for rank in range(1, len(pages) + 1)]
        while True:
            if chance.random() < writes:
                self.record(chance)
                yield ""
            else:
                yield chance.choices(pages, weights)[0]

    def record(self, chance: random.Random) -> None:
        """Record a reading of a device."""
        from devices.services import NewReading, record_readings

        device = chance.choice(self.devices)
        record_readings([NewReading(device.pk, device.metric, chance.uniform(1, 9), datetime.now(UTC))])

    def visit(self) -> dict[str, Any]:
        """Ask for each of these pages once."""
        for page in self.many_pages():
            self.client.get(page)
        return {}

    def many_pages(self) -> list[str]:
        """Return 100 addresses in an order that is always the same: which are asked for most."""
        from devices.models import Device
        from locations.models import Location

        metrics = Device.objects.order_by("metric").values_list("metric", flat=True).distinct()
        found = ["/", "/locations/", "/api/devices", "/analytics/"]
        found += [f"/locations/{code}/" for code in Location.objects.order_by("code").values_list("code", flat=True)]
        found += [f"/analytics/?metric={metric}&window={window}" for metric in metrics for window in ("24h", "7d")]
        serials = Device.objects.order_by("serial").values_list("serial", flat=True)
        found += [f"/devices/{serial}/" for serial in serials][: PAGES - len(found)]
        random.Random(1).shuffle(found)
        return found


def main() -> None:
    set_up(sys.argv[1])
    visitor = Visitor()
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        command = json.loads(line)
        answers.write(json.dumps(getattr(visitor, command.pop("do"))(**command)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
