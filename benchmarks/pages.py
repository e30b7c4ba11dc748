"""What pages cost: `python -m benchmarks.pages`. The processor's time of a warm page, as a ratio to plain Django's.

Two processes have the platform with the demo's data, and answer the same requests in turns within one run: one caches,
the other has Django's own database engine and sessions, and no cache at all.
"""

import argparse
import os
import statistics
import subprocess
import sys

from benchmarks import report, servers
from benchmarks.environments import ROOT
from benchmarks.processes import PipedProcess

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- pages: begin -->", "<!-- pages: end -->"
GOAL = 0.25
DAYS = 30  # of readings
REQUESTS = 10  # a round, page and process


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description="What pages cost.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--publish", action="store_true", help="write the result into docs/performance.md")
    arguments = parser.parse_args()
    with servers.running(fsync=False) as started:
        environment = environment_for(started)
        seed(environment, DAYS)
        measured = measure(environment, arguments.rounds)
        machine = report.machine(started.described)
    report.keep("pages", measured, as_text(measured, machine), PAGE if arguments.publish else None, BEGIN, END)


def seed(environment: dict[str, str], days: int) -> None:
    """Make the platform's tables, with the demo's data and its readings of so many days."""
    for command in (["migrate", "-v0"], ["seed_demo", "--days", str(days), "--with-logins"]):
        subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
        )


def site_of_its_own(started: servers.Servers, days: int) -> dict[str, str]:
    """Return the environment of the platform in a database beside the peers', with the demo's data."""
    started.create_database("site")
    environment = environment_for(started)
    environment["DATABASE_URL"] = started.database_url.rpartition("/")[0] + "/site"
    seed(environment, days)
    return environment


def environment_for(started: servers.Servers) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "REDIS_", "DATABASE_"))}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "xyzsite.settings.local",
        "DATABASE_URL": started.database_url,
        "REDIS_URL_US_EAST_1": f"redis://127.0.0.1:{started.redis_port}/0",
        "DEBUG": "false",
        "LOG_LEVEL": "WARNING",
    }


def measure(environment: dict[str, str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return by page and process the milliseconds of each round's undisturbed request (10th percentile)."""
    workers = {
        name: PipedProcess(name, [sys.executable, "-m", "benchmarks.pages_worker", name], ROOT, environment)
        for name in ("plain", "cached")
    }
    pages = workers["plain"].ask("pages")["pages"]
    found: dict[str, dict[str, list[float]]] = {page: {name: [] for name in workers} for page in pages}
    for number in range(rounds + 1):
        for page in pages:
            for name, worker in workers.items():
                worked = sorted(worker.ask("run", page=page, count=REQUESTS)["worked"])
                if number:  # the first round fills the cache
                    found[page][name].append(worked[len(worked) // 10] / 1e6)
    for worker in workers.values():
        worker.end()
    return found


def as_text(measured: dict[str, dict[str, list[float]]], machine: dict[str, str]) -> str:
    """Return the result as Markdown: the median of the rounds' ratios."""
    lines = ["| page, warm | plain Django, ms | cached, ms | ratio | goal | met |", "|---|---:|---:|---:|---:|---|"]
    for page, found in measured.items():
        plain, cached = found["plain"], found["cached"]
        ratio = statistics.median(mine / other for mine, other in zip(cached, plain, strict=True))
        times = f"{statistics.median(plain):.2f} | {statistics.median(cached):.2f}"
        lines.append(f"| `{page}` | {times} | {ratio:.2f} | {GOAL} | {'yes' if ratio <= GOAL else 'no'} |")
    rounds = len(next(iter(measured.values()))["plain"])
    return "\n".join(
        [*lines, "", f"{rounds} rounds. " + "; ".join(f"{name}: {value}" for name, value in machine.items()) + "."]
    )


if __name__ == "__main__":
    main()
