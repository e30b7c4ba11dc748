"""How fast a relay is: `python -m benchmarks.relay`. Rows a second that it keeps up with, and how late it tells.

- `stream`: the relay itself, until Redis has been told: commits of 1 row, of 100 rows, and one of all;
- `peek`: the same log by PostgreSQL's SQL functions (pg_logical_slot_peek_binary_changes and then
  pg_replication_slot_advance), 10,000 messages at a time, decoded as the relay does, and told to no region;
- `late`: milliseconds from the return of an outside writer's COMMIT until its tags are deleted, one by one.

Rows a second of this process's own time tell what it would be where nothing else runs.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from benchmarks import servers
from benchmarks.warming import row_count, set_up

BATCH = 10_000  # messages of the log
UPDATE = "UPDATE sensors_device SET name = name || '.' WHERE id BETWEEN {} AND {}"
PEEK = "SELECT data FROM pg_logical_slot_peek_binary_changes('peek', NULL, {}, {})"
OPTIONS = "'proto_version', '1', 'publication_names', 'cacheops', 'messages', 'true'"
ADVANCE = "SELECT pg_replication_slot_advance('peek', ('0/0'::pg_lsn + %s))"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description="How fast a relay is.")
    parser.add_argument("--rows", type=int, default=20_000, help="changed in each way")
    parser.add_argument("--commits", type=int, default=500, help="told one after the other")
    arguments = parser.parse_args()
    with servers.running(fsync=False, awake=False) as started:
        set_up(started)
        from django.core.management import call_command

        call_command("relay", "--install")
        with psycopg.connect(started.database_url, autocommit=True) as writer:
            rates(writer, min(arguments.rows, row_count()))
            lateness(writer, arguments.commits)


def rates(writer: Any, rows: int) -> None:
    for size in (1, 100, rows):
        with new_relay() as relay:
            writer.execute("SELECT pg_create_logical_replication_slot('peek', 'pgoutput')")
            for start in range(1, rows + 1, size):
                writer.execute(UPDATE.format(start, min(start + size - 1, rows)))
            note = relay.send_note()
            stream, other = timed(relay.work_until, note), timed(peek, writer)
            writer.execute("SELECT pg_drop_replication_slot('peek')")
        for name, (wall, own) in (("stream", stream), ("peek", other)):
            print(f"{name}, commits of {size:,} rows: {rows / wall:,.0f} rows/s ({rows / own:,.0f} of own time)")


def new_relay() -> Any:
    from cacheops.regions import regions
    from cacheops.relay.relay import Relay

    return Relay(regions.local, "default")


def timed(act: Callable[[Any], Any], argument: Any) -> tuple[float, float]:
    """Return the seconds that an act takes, by the clock and of this process's own time."""
    began, own = time.perf_counter(), time.process_time()
    act(argument)
    return time.perf_counter() - began, time.process_time() - own


def peek(writer: Any) -> None:
    from cacheops.relay.commits import CommitReader

    reader = CommitReader("default", "peek", lambda relation: [relation.name])
    while True:
        last = 0
        for (data,) in writer.execute(PEEK.format(BATCH, OPTIONS)):
            commit = reader.feed(data)
            last = commit.end_lsn if commit else last
        if not last:
            return
        writer.execute(ADVANCE, [last])


def lateness(writer: Any, commits: int) -> None:
    stopped = threading.Event()
    told: list[float] = []

    def work() -> None:
        from django.db import connection

        with new_relay() as relay:
            invalidate = relay.store.invalidate

            def invalidate_and_note(tables: Any) -> int:
                found: int = invalidate(tables)
                told.append(time.perf_counter())
                return found

            relay.store.invalidate = invalidate_and_note
            begun.set()
            while not stopped.is_set():
                relay.work(0.2)
            relay.store.invalidate = invalidate
        connection.close()

    begun = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    late = []
    for key in range(1, commits + 1):
        del told[:]
        writer.execute(UPDATE.format(key, key))
        committed = time.perf_counter()
        while not told:
            time.sleep(0.0002)
        late.append(1000 * max(0.0, told[0] - committed))
    stopped.set()
    thread.join()
    cuts = statistics.quantiles(late, n=100)
    print(f"late: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, of {commits} commits")


if __name__ == "__main__":
    main()
