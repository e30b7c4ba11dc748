"""What three regions cost each other: `python -m benchmarks.regions`, as far apart as the real ones (62 and 12 ms).

The local regions run, with a relay for each follower and a process of the platform in each region. Beside these: one at
home that knows of no followers, and so marks each write in all regions; and one at home and one in us-west-2 that
have Django's own engine, on the same databases.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import report
from benchmarks.awake import kept_awake
from benchmarks.environments import ROOT
from benchmarks.processes import PipedProcess
from benchmarks.region_rates import (
    A_COMMIT,
    WAYS,
    WEST,
    Relay,
    Workers,
    costs,
    keeps_up,
    rate,
    speeds,
    steadiness,
    told,
)
from xyzsite.localregions.distance import REAL
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOME, PAIRS, REGIONS, Options

PAGE = ROOT / "docs" / "regions.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SAVES = 12  # a round
VISIBLE = 150  # commits, one after the other
WORKERS = {  # where, and which
    "home": (HOME, "cached"),
    "marks in all": (HOME, "cached"),
    "Django": (HOME, "plain"),
    "Django, west": (WEST, "plain"),
    **{region: (region, "cached") for region in PAIRS},
}
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
        found["steady"] = keeps_up(writer, workers, A_COMMIT)
    return found


def place(regions: LocalRegions, is_far: bool) -> None:
    """Put the followers as far from the home region as they are, or beside it."""
    for region in PAIRS:
        regions.distance(region, REAL[frozenset((HOME, region))] if is_far else 0)


def milliseconds(took: list[int]) -> list[float]:
    return [one / 1e6 for one in took]


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
        [f"the same of a steady writer: inserts, {A_COMMIT} a commit", steadiness(measured["steady"]), "20,000"],
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


if __name__ == "__main__":
    main()
