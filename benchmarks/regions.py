"""What three regions cost each other: `python -m benchmarks.regions`, as far apart as the real ones (62 and 12 ms).

The local regions run, with a relay for each follower and a process of the platform in each region. Beside these: one at
home that knows of no followers, and so marks each write in all regions; and one at home and one in us-west-2 that
have Django's own engine, on the same databases.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import report
from benchmarks.awake import kept_awake
from benchmarks.environments import ROOT
from benchmarks.processes import PipedProcess
from xyzsite.localregions.distance import REAL
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOME, PAIRS, REGIONS, Options

PAGE = ROOT / "docs" / "regions.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WEST = PAIRS[0]
SAVES = 12  # a round
VISIBLE = 150  # commits, one after the other
ROWS, BULK = 30_000, 10_000  # written in each way; rows of a COPY
READ = 5  # devices whose readings are read in each region, so that rows have tags
WORKERS = {  # where, and which
    "home": (HOME, "cached"),
    "marks in all": (HOME, "cached"),
    "Django": (HOME, "plain"),
    "Django, west": (WEST, "plain"),
    **{region: (region, "cached") for region in PAIRS},
}
COLUMNS = "device_id, metric, unit, value, taken_at"
Workers = Mapping[str, PipedProcess]
Relay = subprocess.Popen[bytes]
Measured = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regions", description="What three regions cost.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--publish", action="store_true", help="write the result into docs/regions.md")
    arguments = parser.parse_args()
    with kept_awake() as processors, platform() as (regions, workers, relays):
        measured = measure(regions, workers, relays, arguments.rounds)
    measured["machine"] = report.machine({"processors": processors})
    report.keep("regions", measured, as_text(measured), PAGE if arguments.publish else None, BEGIN, END)


@contextmanager
def platform() -> Iterator[tuple[LocalRegions, Workers, Sequence[Relay]]]:
    """Run the regions, their relays, and the processes that are asked; end all of them."""
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-regions-"))
    folder.chmod(0o711)  # PostgreSQL's user enters it
    regions = LocalRegions(folder)
    running: list[Relay] = []
    workers: dict[str, PipedProcess] = {}
    try:
        regions.up(Options(postgres=True, volatile=True), owner=os.getpid())
        for command in (["migrate", "-v0"], ["seed_demo", "--days", "1", "--with-logins"], ["relay", "--install"]):
            manage(regions, HOME, command).wait()
        running += [manage(regions, region, ["relay"]) for region in PAIRS]
        for name, (region, kind) in WORKERS.items():
            command = [sys.executable, "-m", "benchmarks.regions_worker", kind]
            environment = environment_in(regions, region)
            if name == "marks in all":
                environment["FOLLOWER_REGIONS"] = ""
            workers[name] = PipedProcess(name, command, ROOT, environment)
        yield regions, workers, running
    finally:
        for worker in workers.values():
            worker.end()
        for process in running:
            process.terminate()
            process.wait()
        regions.down()
        shutil.rmtree(folder, ignore_errors=True)


def manage(regions: LocalRegions, region: str, arguments: list[str]) -> Relay:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment_in(regions, region), stdout=subprocess.DEVNULL)


def environment_in(regions: LocalRegions, region: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "REDIS_", "DATABASE_"))}
    return {
        **kept,
        **regions.environment(region),
        "DJANGO_SETTINGS_MODULE": "xyzsite.settings.local",
        "DEBUG": "false",
        "LOG_LEVEL": "ERROR",
        "REDIS_SOCKET_TIMEOUT": "5",  # of a busy machine
        "REDIS_RETRY_BUDGET": "5",
    }


def measure(regions: LocalRegions, workers: Workers, relays: Sequence[Relay], rounds: int) -> Measured:
    """Return all figures. Times in milliseconds."""
    with psycopg.connect(regions.environment(HOME)["DATABASE_URL"], autocommit=True) as writer:
        told(writer, workers, PAIRS)  # the relays are at work
        found: Measured = {"saves": {}, "gets": {}}
        for number in range(rounds + 1):
            for is_far in (False, True):
                place(regions, is_far)
                for name in ("Django", "home", "marks in all", *([WEST] if is_far else [])):
                    took = milliseconds(workers[name].ask("save", count=SAVES)["took"])
                    if number:
                        key = f"{name}, {'far' if is_far else 'near'}"
                        found["saves"].setdefault(key, []).append(statistics.median(took))
            gets = get(writer, workers)
            for name in gets if number else ():
                found["gets"].setdefault(name, []).append(gets[name])
        names = {HOME: "home"} | {region: region for region in PAIRS}
        found["cached"] = {region: workers[name].ask("warm")["share"] for region, name in names.items()}
        found["pages"] = pages(workers[WEST])
        found["visible"] = visible(writer, workers)
        found["rates"] = {how: rate(writer, workers, relays, write) for how, write in WAYS.items()}
    return found


def place(regions: LocalRegions, is_far: bool) -> None:
    """Put the followers as far from the home region as they are, or beside it."""
    for region in PAIRS:
        regions.distance(region, REAL[frozenset((HOME, region))] if is_far else 0)


def milliseconds(took: list[int]) -> list[float]:
    return [one / 1e6 for one in took]


def told(writer: Any, workers: Workers, names: tuple[str, ...] = (WEST,)) -> float:
    """Wait until followers are told of all that is committed now; return when the last one was (monotonic)."""
    lsn = writer.execute("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchone()[0]
    return max(workers[name].ask("told", lsn=lsn)["at"] for name in names)


def get(writer: Any, workers: Workers) -> dict[str, float]:
    """Return the median of a get() in us-west-2: that loads and fills, that hits, and by plain Django."""
    keys = workers[WEST].ask("keys")["keys"]
    writer.execute("UPDATE devices_device SET name = name")
    told(writer, workers)
    workers["Django, west"].ask("get", keys=keys[:5])
    asked = {"miss": workers[WEST], "hit": workers[WEST], "Django": workers["Django, west"]}
    return {name: statistics.median(milliseconds(each.ask("get", keys=keys)["took"])) for name, each in asked.items()}


def pages(west: PipedProcess) -> dict[str, int]:
    """Return the statements that warm pages of us-west-2 send to the primary, and to the region's replica."""
    counts = {"default": 0, "replica": 0, "pages": 0}
    for page in west.ask("pages")["pages"]:
        west.ask("run", page=page, count=3)
        asked = west.ask("asked", page=page)
        counts = {name: counts[name] + asked.get(name, 1) for name in counts}
    return counts


def visible(writer: Any, workers: Workers) -> dict[str, list[float]]:
    """Return after how many milliseconds a commit was seen in us-west-2: by a cached read, and on the replica."""
    key = workers[WEST].ask("keys")["keys"][0]
    found: dict[str, list[float]] = {"cached": [], "replica": []}
    with ThreadPoolExecutor(2) as threads:
        for number in range(VISIBLE):
            name = f"Seen {number}"
            asked = [threads.submit(workers[each].ask, "wait", key=key, name=name) for each in (WEST, "Django, west")]
            time.sleep(0.01)
            writer.execute("UPDATE devices_device SET name = %s WHERE id = %s", [name, key])
            committed = time.monotonic()
            for kind, each in zip(found, asked, strict=True):
                found[kind].append(1000 * (each.result()["at"] - committed))
    return found


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


def insert(writer: Any, rows: int, a_commit: int) -> None:
    """Write rows, a statement each, by the server itself: a writer that waits for nobody."""
    writer.execute(f"""
        DO $$ DECLARE own bigint; BEGIN
          SELECT min(id) INTO own FROM devices_device;
          FOR number IN 1..{rows} LOOP
            INSERT INTO devices_reading ({COLUMNS}) VALUES (own, 'bench', '', 1, clock_timestamp());
            IF number % {a_commit} = 0 THEN COMMIT; END IF;
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
    "inserts, 10 a commit": partial(insert, rows=ROWS, a_commit=10),
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


def as_text(measured: Measured) -> str:
    """Return the result as Markdown."""
    saves, gets, pages = measured["saves"], measured["gets"], measured["pages"]
    seen, rates = measured["visible"], measured["rates"]
    beyond = [mine - shown for mine, shown in zip(seen["cached"], seen["replica"], strict=True)]
    way = REAL[frozenset((HOME, WEST))]
    farther = median(saves["home, far"]) - median(saves["home, near"])
    rows = [
        ["", "measured", "goal"],
        ["reads that each region answers from its cache", shares(measured["cached"]), "alike"],
        ["`save()` at home, followers beside it", against(saves, "home, near", "Django, near"), ""],
        ["the same, followers as far as they are", against(saves, "home, far", "Django, far"), ""],
        ["so much more for the distance, ms", f"{farther:.1f}", "0 to 1"],
        ["the same where all regions are marked", against(saves, "marks in all, far", "Django, far"), ""],
        [f"`save()` in {WEST}, ms (and ways of {way:.0f} ms)", ways(median(saves[f"{WEST}, far"]), way), "2 ways"],
        [f"`get(pk)` in {WEST}, hit", against(gets, "hit", "Django"), ""],
        [f"`get(pk)` in {WEST}, miss and fill", against(gets, "miss", "Django"), ""],
        [f"statements of {pages['pages']} warm pages there: to the primary, to the replica",
         f"{pages['default']}, {pages['replica']}", "0, 0"],
        [f"from `COMMIT` to a cached read in {WEST}, ms", spread(seen["cached"]), ""],
        ["beyond the replica's own", spread(beyond), "p50 5, p99 20"],
        *[[f"rows a second: {how}", speeds(one), "20,000"]
          for how, one in rates.items()],
        *[[f"processor of the primary for 1,000 rows, ms: {how}", costs(one), ""] for how, one in rates.items()],
    ]  # fmt: skip
    machine = "; ".join(f"{name}: {value}" for name, value in measured["machine"].items())
    rounds = f"{len(saves['home, far'])} rounds, {len(beyond)} commits"
    return "\n".join([report.markdown(rows), "", f"{rounds}. Measured on: {machine}."])


def median(values: list[float]) -> float:
    return statistics.median(values)


def against(found: dict[str, list[float]], mine: str, plain: str) -> str:
    """Return milliseconds, and the median of the rounds' ratios to plain Django's."""
    ratio = median([one / other for one, other in zip(found[mine], found[plain], strict=True)])
    return f"{median(found[mine]):.2f} ms; {ratio:.2f} of Django's {median(found[plain]):.2f}"


def shares(found: dict[str, float]) -> str:
    return ", ".join(f"{region} {found[region]:.0%}" for region in REGIONS)


def ways(took: float, way: float) -> str:
    return f"{took:.0f} ({took / way:.1f})"


def spread(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f}"


def speeds(one: dict[str, float]) -> str:
    return f"written {one['written']:,.0f}, told {one['told']:,.0f}; from a backlog {one['backlog']:,.0f}"


def costs(one: dict[str, float]) -> str:
    names = {"writer": "the writer", "logical": "a relay", "physical": "a replica"}
    return ", ".join(f"{title} {one[name]:.0f}" for name, title in names.items())


if __name__ == "__main__":
    main()
