"""One process of the platform in a region: reads commands, a JSON object a line, and answers each likewise.

python -m benchmarks.regions_worker plain|cached
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from benchmarks.pages_worker import Visitor, set_up

LOOK_SECONDS = 0.0005  # between two looks whether a commit is visible
PATIENCE = 30.0


class Person(Visitor):
    """Reads and writes devices as the ORM's users do; a request's reads go where the router says."""

    def warm(self) -> dict[str, Any]:
        """Return the share of some reads of each kind that the region has answered, once each has been made."""
        from cacheops import after
        from cacheops.instrumentation.request_stats import collect_request_stats
        from devices.models import Device

        def read() -> None:
            for device in Device.objects.select_related("location")[:50]:
                Device.objects.get(pk=device.pk)
                list(Device.objects.filter(location_id=device.location_id, status="active"))
                Device.objects.filter(location_id=device.location_id).count()

        with after():
            read()
            with collect_request_stats() as stats:
                read()
        return {"share": stats.hits / max(1, stats.hits + stats.misses + stats.bypasses), "hits": stats.hits}

    def get(self, keys: list[int]) -> dict[str, Any]:
        """Return the nanoseconds of a `get()` of each key, in one request."""
        from cacheops import after
        from cacheops.instrumentation.request_stats import collect_request_stats
        from devices.models import Device

        gc.collect()
        with after(), collect_request_stats() as stats:
            took = [timed(lambda key=key: Device.objects.get(pk=key)) for key in keys]  # type: ignore[misc]
        return {"took": took, "hits": stats.hits}

    def readings(self, count: int) -> dict[str, Any]:
        """Read the newest readings of some devices, of all their metrics and of each, and of a metric."""
        from cacheops import after
        from devices.models import Device, Reading

        with after():
            for key in Device.objects.order_by("pk").values_list("pk", flat=True)[:count]:
                for chosen in ({"device_id": key}, {"metric": "bench"}, {"device_id": key, "metric": "bench"}):
                    list(Reading.objects.filter(**chosen)[:10])
        return {}

    def keys(self) -> dict[str, Any]:
        from devices.models import Device

        return {"keys": list(Device.objects.order_by("pk").values_list("pk", flat=True))}

    def save(self, count: int) -> dict[str, Any]:
        """Return the nanoseconds of each `save(update_fields=["name"])`."""
        from devices.models import Device

        device = Device.objects.order_by("pk")[0]
        took = []
        for number in range(count):
            device.name = f"Saved {number % 2}"
            took.append(timed(lambda: device.save(update_fields=["name"])))
        return {"took": took}

    def wait(self, key: int, name: str) -> dict[str, Any]:
        """Return when a device had this name for a reader of the region (monotonic, in seconds)."""
        from cacheops import after
        from devices.models import Device

        deadline = time.monotonic() + PATIENCE
        with after():
            while Device.objects.get(pk=key).name != name:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{name!r} was not seen within {PATIENCE:g} s")
                time.sleep(LOOK_SECONDS)
        return {"at": time.monotonic()}

    def told(self, lsn: int) -> dict[str, Any]:
        """Return when the region was told of all before an LSN."""
        from cacheops.databases import table_keys
        from cacheops.regions import regions
        from cacheops.regions.position import Position

        key = table_keys("replica", "devices_device").position
        deadline = time.monotonic() + PATIENCE
        while True:
            text = regions.local.store.read([key])[0]
            if text is not None and int(Position.parse(text.decode()).lsn, 16) >= lsn:
                return {"at": time.monotonic()}
            if time.monotonic() > deadline:
                raise TimeoutError(f"not told of {lsn:X} within {PATIENCE:g} s")
            time.sleep(LOOK_SECONDS)

    def asked(self, page: str) -> dict[str, Any]:
        """Return how many statements a page sends to each database."""
        from django.db import connections

        counts = dict.fromkeys(connections, 0)

        def counting(alias: str) -> Callable[..., Any]:
            def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
                counts[alias] += 1
                return execute(sql, params, many, context)

            return count

        with ExitStack() as stack:
            for alias in connections:
                stack.enter_context(connections[alias].execute_wrapper(counting(alias)))
            self.client.get(page)
        return counts


def timed(act: Callable[[], Any]) -> int:
    began = time.perf_counter_ns()
    act()
    return time.perf_counter_ns() - began


def main() -> None:
    set_up(sys.argv[1])
    person = Person()
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        command = json.loads(line)
        answers.write(json.dumps(getattr(person, command.pop("do"))(**command)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
