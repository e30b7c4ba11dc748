"""How fast warming is: `python -m benchmarks.warming`. Rows a second, in turns within one run, so that ratios hold.

- `get`: every row by `Device.objects.get(pk=…)` on an empty cache, one after the other, as visitors would;
- `floor`: what this machine takes to read the rows and to set the bytes at all: SQL by hand on Django's cursor, which
  returns rows as entries hold them; msgspec encodes, hiredis packs, and a socket takes an entry and a tag a row, under
  keys and with values as long as the warming's own. Nothing is leased, validated or counted, no key is computed;
- `bare`: less than that: psycopg's own rows, and the entry alone, although no reader can trust it;
- `warm`: the warming run, the entries that `get(pk=…)` and foreign keys look for;
- `again`: the same with everything warm already.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import hiredis
import msgspec
import psycopg
from psycopg.types.json import set_json_loads

from benchmarks import report, servers
from benchmarks.environments import PEER_CODE, ROOT
from benchmarks.processes import database_settings

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- warming: begin -->", "<!-- warming: end -->"
GETS = 1000  # of the rows: one by one takes long
BATCH = 1000  # rows of a round trip, as the warming's own
TTL = 3600
REDIS_DATABASE = 15
# As long as the warming's own: a digest of 22 characters, a version of 8 bytes, what stands before an entry's rows.
ENTRY, TAG = "co:{default@12345678.sensors_device}:e:", "co:{default@12345678.sensors_device}:t:id="
VERSION, HEAD = b"8 bytes.", b"." * 70
GOALS = {"get": 20.0, "floor": 0.5}  # warming's rows a second, as a multiple of each


def main() -> None:
    arguments = parsed()
    with servers.running(fsync=False) as started:
        measured = measure(started, arguments.rounds)
    measured["machine"] = report.machine(started.described)
    report.keep("warming", measured, as_text(measured), PAGE if arguments.publish else None, BEGIN, END)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warming", description="How fast warming is.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--publish", action="store_true", help="write the result into docs/performance.md")
    return parser.parse_args()


def measure(started: servers.Servers, rounds: int) -> dict[str, Any]:
    """Return rows a second of each way, by round."""
    set_up(started)
    ways: dict[str, Callable[[], float]] = {
        "get": one_by_one,
        "floor": Floor(started, bare=False).rows_a_second,
        "bare": Floor(started, bare=True).rows_a_second,
        "warm": warmed,
        "again": warmed,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            if name != "again":
                started.empty(REDIS_DATABASE)
            speed = way()
            if number:  # the first round connects and makes plans
                found[name].append(speed)
    return {"rows": row_count(), "speeds": found}


def set_up(started: servers.Servers) -> None:
    """Make this process one of the peers: ours, with the rows of the comparison."""
    sys.path.insert(0, str(PEER_CODE))
    import adapters
    import django
    from django.conf import settings

    database = database_settings(started.database_url)
    redis_url = f"redis://127.0.0.1:{started.redis_port}/{REDIS_DATABASE}"
    settings.configure(**adapters.settings_for("ours", database, redis_url))
    django.setup()
    import rows
    from django.core.management import call_command

    rows.create()
    call_command("migrate", "cacheops", verbosity=0)


def row_count() -> int:
    from sensors.models import Device

    count: int = Device.objects.nocache().count()
    return count


def one_by_one() -> float:
    from sensors.models import Device

    started = time.perf_counter()
    for key in range(1, GETS + 1):
        Device.objects.get(pk=key)
    return GETS / (time.perf_counter() - started)


def warmed() -> float:
    from sensors.models import Device

    from cacheops.warming import Warmer, rows_of
    from cacheops.warming.history import Checkpoint
    from cacheops.warming.progress import QuietReport
    from cacheops.warming.runner import Runner
    from cacheops.warming.selection import Scope

    warmer = Warmer("devices", lambda keys: [rows_of(Device, keys, by=())], Device)
    run = Runner([warmer], Checkpoint(("devices",), "all", ("default",)), Scope("all"), QuietReport())()
    outcome = run.outcomes["default"]
    assert run.status == "done", outcome
    return outcome.total / run.seconds


class Floor:
    """Reads the rows and sets the bytes."""

    def __init__(self, started: servers.Servers, *, bare: bool) -> None:
        from django.db import connection
        from sensors.models import Device

        columns = ", ".join(f'"{field.column}"' for field in Device._meta.concrete_fields)
        self._query = f"SELECT {columns} FROM sensors_device WHERE id > %s ORDER BY id LIMIT {BATCH}"
        self._cursor: Any = connection.cursor()
        if bare:
            database = psycopg.connect(started.database_url, autocommit=True)
            set_json_loads(bytes, database)  # left as it is
            self._cursor = database.cursor()
        self._tags = not bare
        self._socket = started.redis(REDIS_DATABASE).connection_pool.get_connection()
        self._encode = msgspec.msgpack.Encoder().encode

    def rows_a_second(self) -> float:
        started = time.perf_counter()
        count = 0
        for rows in self._batches():
            commands = [self._entry(row) for row in rows]
            if self._tags:
                commands += [("SET", f"{TAG}{row[0]}", VERSION, "PX", TTL * 1000) for row in rows]
            self._socket.send_packed_command([b"".join([hiredis.pack_command(command) for command in commands])])
            for _ in commands:
                self._socket.read_response()
            count += len(rows)
        return count / (time.perf_counter() - started)

    def _entry(self, row: Any) -> tuple[Any, ...]:
        return ("SET", f"{ENTRY}{row[0]:022}", HEAD + self._encode([row]), "PX", TTL * 1000)

    def _batches(self) -> Iterator[list[Any]]:
        last = 0
        while True:
            self._cursor.execute(self._query, [last])
            rows = self._cursor.fetchall()
            if not rows:
                return
            yield rows
            last = rows[-1][0]


def as_text(measured: dict[str, Any]) -> str:
    """Return the result as Markdown: the median of the rounds' ratios, and that of the undisturbed rounds, the best."""
    speeds = measured["speeds"]
    lines = [
        "| way | rows a second, median | best | warming, as a multiple | of the best | goal | met |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, found in speeds.items():
        row = [name, f"{statistics.median(found):,.0f}", f"{max(found):,.0f}"]
        if name in ("get", "floor", "bare"):
            ratio = statistics.median(mine / other for mine, other in zip(speeds["warm"], found, strict=True))
            best = max(speeds["warm"]) / max(found)
            goal = GOALS.get(name)
            met = "" if goal is None else "yes" if best >= goal else "no"
            row += [f"{ratio:.2f}", f"{best:.2f}", "" if goal is None else f"{goal:g}", met]
        else:
            row += [""] * 4
        lines.append(f"| {' | '.join(row)} |")
    machine = "; ".join(f"{name}: {value}" for name, value in measured["machine"].items())
    return "\n".join([*lines, "", f"{measured['rows']:,} rows, {len(speeds['warm'])} rounds. Measured on: {machine}."])


if __name__ == "__main__":
    main()
