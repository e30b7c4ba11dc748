"""One process of the platform: reads commands, a JSON object a line, and answers each with a JSON object a line.

python -m benchmarks.pages_worker plain|cached
"""

import gc
import json
import sys
import time
from typing import Any

import django
from django.conf import settings


def set_up(name: str) -> None:
    """Load the platform's settings; for "plain", with Django's own engine and sessions, and without the cache."""
    if name == "plain":
        for database in settings.DATABASES.values():
            database["ENGINE"] = database["ENGINE"].replace("cacheops.db.", "django.db.")
        settings.CACHEOPS_ENABLED = False
        settings.CACHES["parts"] = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    django.setup()


class Visitor:
    """A signed-in person's browser."""

    def __init__(self) -> None:
        from django.test import Client

        from users.models import User

        self.client = Client()
        self.client.force_login(User.objects.filter(is_staff=True).order_by("pk")[0])

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
