"""Rows a second that a follower region is told of, and what they cost the primary (of `benchmarks.regions`)."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.processes import PipedProcess
from xyzsite.localregions.plan import PAIRS

WEST = PAIRS[0]
ROWS, BULK = 30_000, 10_000  # written in each way; rows of a COPY
A_COMMIT = 10  # rows
PACE, PACED_SECONDS, AT_ONCE = 20_000, 10, 200  # rows a second of a steady writer, for so long, and between two rests
READ = 5  # devices whose readings are read in each region, so that rows have tags
COLUMNS = "device_id, metric, unit, value, taken_at"
Workers = Mapping[str, PipedProcess]
Relay = subprocess.Popen[bytes]


def told(writer: Any, workers: Workers, names: tuple[str, ...] = (WEST,)) -> float:
    """Wait until followers are told of all that is committed now; return when the last one was (monotonic)."""
    lsn = writer.execute("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchone()[0]
    return max(workers[name].ask("told", lsn=lsn)["at"] for name in names)


def rate(writer: Any, workers: Workers, relays: Sequence[Relay], write: Callable[[Any], None]) -> dict[str, float]:
    """Return rows a second as written, and as us-west-2 was told of: beside the writing, and of what has piled up.

    And the processor's milliseconds of the primary for 1,000 rows.
    """
    read_readings(writer, workers)
    before, began = processor_of(writer), time.monotonic()
    write(writer)
    written = time.monotonic()
    at = told(writer, workers)
    after = processor_of(writer)
    spent = {name: (after[name] - before.get(name, 0.0)) * 1e6 / ROWS for name in after}
    backlog = time_of_backlog(writer, workers, relays, write)
    found = {"written": ROWS / (written - began), "told": ROWS / (at - began), "backlog": ROWS / backlog}
    return {"rows": ROWS, **found, **spent}


def read_readings(writer: Any, workers: Workers) -> None:
    """Have the regions' entries depend on readings, by device and by metric; the relays hear of it with a first row."""
    for region in PAIRS:
        workers[region].ask("readings", count=READ)
    insert(writer, 1, 1)
    told(writer, workers, PAIRS)


def time_of_backlog(writer: Any, workers: Workers, relays: Sequence[Relay], write: Callable[[Any], None]) -> float:
    """Return the seconds in which us-west-2 is told of what was written while all relays stood still."""
    for relay in relays:
        relay.send_signal(signal.SIGSTOP)
    try:
        write(writer)
    finally:
        began = time.monotonic()
        for relay in relays:
            relay.send_signal(signal.SIGCONT)
    return told(writer, workers) - began


def keeps_up(writer: Any, workers: Workers, a_commit: int) -> dict[str, float]:
    """Return rows a second of a steady writer, and the seconds that us-west-2 is behind at its end."""
    read_readings(writer, workers)
    began = time.monotonic()
    insert(writer, PACE * PACED_SECONDS, a_commit, PACE)
    written = time.monotonic()
    return {"written": PACE * PACED_SECONDS / (written - began), "behind": told(writer, workers) - written}


def insert(writer: Any, rows: int, a_commit: int, pace: int = 0) -> None:
    """Write rows, a statement each, by the server itself, which waits for nobody, or writes so many a second."""
    rest = f"number / {pace}.0 - EXTRACT(EPOCH FROM clock_timestamp() - began)" if pace else "0"
    writer.execute(f"""
        DO $$ DECLARE own bigint; began timestamptz := clock_timestamp(); BEGIN
          SELECT min(id) INTO own FROM devices_device;
          FOR number IN 1..{rows} LOOP
            INSERT INTO devices_reading ({COLUMNS}) VALUES (own, 'bench', '', 1, clock_timestamp());
            IF number % {a_commit} = 0 THEN COMMIT; END IF;
            IF number % {AT_ONCE} = 0 THEN PERFORM pg_sleep(GREATEST(0, {rest})); END IF;
          END LOOP;
        END $$""")


def copy(writer: Any) -> None:
    key = writer.execute("SELECT min(id) FROM devices_device").fetchone()[0]
    moment = datetime.now(UTC) - timedelta(hours=1)
    for _ in range(ROWS // BULK):
        with writer.cursor().copy(f"COPY devices_reading ({COLUMNS}) FROM STDIN") as rows:
            for _ in range(BULK):
                moment += timedelta(microseconds=20)
                rows.write_row((key, "bench", "", 1.0, moment))


WAYS: Mapping[str, Callable[[Any], None]] = {
    "inserts, a commit each": partial(insert, rows=ROWS, a_commit=1),
    f"inserts, {A_COMMIT} a commit": partial(insert, rows=ROWS, a_commit=A_COMMIT),
    f"COPY of {BULK:,}": copy,
}


def processor_of(writer: Any) -> dict[str, float]:
    """Return the processor's seconds of a relay's, a replica's and the writer's process of the primary."""
    rows = writer.execute("SELECT slot_type, active_pid FROM pg_replication_slots WHERE active").fetchall()
    pids = dict(rows) | {"writer": writer.info.backend_pid}
    return {kind: ticks(pid) / os.sysconf("SC_CLK_TCK") for kind, pid in pids.items()}


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # proc(5): utime, stime


def speeds(one: dict[str, float]) -> str:
    return f"written {one['written']:,.0f}, told {one['told']:,.0f}; from a backlog {one['backlog']:,.0f}"


def steadiness(one: dict[str, float]) -> str:
    return f"written {one['written']:,.0f}; {one['behind']:.2f} s behind after {PACED_SECONDS} s"


def costs(one: dict[str, float]) -> str:
    names = {"writer": "the writer", "logical": "a relay", "physical": "a replica"}
    return ", ".join(f"{title} {one[name]:.0f}" for name, title in names.items())
