"""One peer's process: reads commands, a JSON object a line, and answers each with a JSON object a line.

python worker.py PEER DATABASE_JSON REDIS_URL
"""

import gc
import json
import sys
import time
from typing import Any

import django
from adapters import settings_for
from django.conf import settings


class Worker:
    """What the comparison may ask of a peer."""

    def __init__(self, peer: str) -> None:
        import operations
        from django.db import connection

        self.module = operations
        self.operations = operations.OPERATIONS
        self.floor = None
        if peer == "floor":
            import floor

            self.floor, self.operations = floor, floor.floor_operations()
        self.statements = 0
        connection.execute_wrappers.append(self._count)

    def _count(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        self.statements += 1
        return execute(sql, params, many, context)

    def create(self) -> dict[str, Any]:
        import rows

        rows.create()
        return {}

    def prepare(self) -> dict[str, Any]:
        """Make what the peer needs besides the rows: our queue's table, the floor's bytes."""
        from django.core.management import call_command

        if "cacheops.db" in settings.DATABASES["default"]["ENGINE"]:
            call_command("migrate", "cacheops", verbosity=0)
        if self.floor is not None:
            self.floor.fill()
        return {}

    def empty_region(self) -> dict[str, Any]:
        """Delete every key of our region: a cluster has many servers."""
        from cacheops.regions import regions

        for keys in list(regions.local.store.scan("")):
            regions.local.store.delete(keys)
        return {}

    def warm(self, operation: str, count: int) -> dict[str, Any]:
        """Run an operation untimed, twice; return the SQL statements of the second time, each."""
        chosen = self.operations[operation]
        for _ in range(2):
            statements = 0
            for number in range(count):
                given = chosen.prepare(number)
                before = self.statements
                chosen.run(number, given)
                statements += self.statements - before
        return {"statements": statements / count}

    def run(self, operation: str, count: int) -> dict[str, Any]:
        """Time an operation; return nanoseconds of each call, and of the processor's time within it."""
        chosen = self.operations[operation]
        if chosen.hit:  # what other operations wrote has made misses
            for number in range(count):
                chosen.run(number, chosen.prepare(number))
        taken, worked = [], []
        now, own = time.perf_counter_ns, time.thread_time_ns
        gc.collect()
        for number in range(count):
            given = chosen.prepare(number)
            began, started = own(), now()
            chosen.run(number, given)
            taken.append(now() - started)
            worked.append(own() - began)
        return {"taken": taken, "worked": worked}

    def clean(self) -> dict[str, Any]:
        """Delete what bulk_create added."""
        import psycopg
        import rows
        from django.db import connection

        with psycopg.connect(**connection.get_connection_params() | PLAIN_CONNECTION, autocommit=True) as raw:
            rows.remove_spare(raw)
        return {}

    def read_different(self) -> dict[str, Any]:
        """Run the different reads; return how many of them asked the database."""
        asked = 0
        for read in self.module.different_reads():
            before = self.statements
            read()
            asked += self.statements > before
        return {"asked": asked}

    def save_unrelated(self) -> dict[str, Any]:
        import rows
        from sensors.models import Device

        found = Device.objects.get(pk=rows.UNRELATED_DEVICE)
        found.current_value = time.time()
        found.save(update_fields=["current_value"])
        return {}

    def fill_gets(self, count: int) -> dict[str, Any]:
        from sensors.models import Device

        for number in range(count):
            Device.objects.get(pk=1 + number)
        return {}

    def fill_dependents(self, count: int) -> dict[str, Any]:
        self.module.fill_dependents(count)
        return {}

    def write(self, rate: float, seconds: float) -> dict[str, Any]:
        import near

        return near.write(rate, seconds)

    def read_near(self, way: str, seconds: float) -> dict[str, Any]:
        import near

        return near.read_near(way, seconds)

    def create_few(self) -> dict[str, Any]:
        import scale

        scale.create()
        return {}

    def grow(self, rows: int) -> dict[str, Any]:
        import scale

        scale.grow(rows)
        return {}

    def mix(self, seconds: float, writes: float, seed: int) -> dict[str, Any]:
        import scale

        return scale.mix(seconds, writes, seed, lambda: self.statements)

    def fill(self, first: int, last: int, dependent: bool) -> dict[str, Any]:
        import scale

        scale.fill(first, last, dependent)
        return {}

    def read_by_schemes(self, count: int) -> dict[str, Any]:
        import scale

        scale.read_by_schemes(count)
        return {}

    def wait(self, threads: int) -> dict[str, Any]:
        import scale

        return scale.wait(threads)

    def save_dependent(self) -> dict[str, Any]:
        found = self.module.dependent()
        gc.collect()  # what filling has left: it would be collected within the call that is timed
        started = time.perf_counter_ns()
        found.save(update_fields=["current_value"])
        return {"taken": time.perf_counter_ns() - started}


PLAIN_CONNECTION = {"context": None, "cursor_factory": None}


def serve(peer: str) -> None:
    worker = Worker(peer)
    answer, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        command = json.loads(line)
        result = getattr(worker, command.pop("do"))(**command)
        answer.write(json.dumps(result) + "\n")
        answer.flush()


if __name__ == "__main__":
    name, database, redis_url = sys.argv[1:4]
    settings.configure(**settings_for(name, json.loads(database), redis_url))
    django.setup()
    serve(name)
