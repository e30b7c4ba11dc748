"""What analytics cost with 5,000 devices: `python -m benchmarks.large_fleet`. Milliseconds of a page.

Cold by the clock, as the database works most of it; warm of the web process' processor.

Two processes have the platform with the same data, and answer in turns within one run: one caches, the other has
Django's own database engine and sessions, and no cache at all. `--before FOLDER` has a third one, of another checkout.
"""

import argparse
import statistics
import sys
from pathlib import Path

import psycopg

from benchmarks import report, servers
from benchmarks.environments import ROOT
from benchmarks.pages import environment_for, seed
from benchmarks.processes import PipedProcess

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- analytics: begin -->", "<!-- analytics: end -->"
GOAL = 20.0  # milliseconds, of a warm page over 24 hours
LOCATIONS, DEVICES = 50, 5000
PAGES = {"24 h": "/analytics/?window=24h", "7 d": "/analytics/?window=7d"}
WARM = 5  # requests a round
REDIS_DATABASE = 0

# A day of readings every five minutes, and a week hourly before: two million. An eighth of the devices has each metric.
FLEET = f"""
INSERT INTO locations_location (code, name, region, timezone, active)
SELECT 'scale-' || n, 'Scale ' || n, 'us-east-1', 'America/New_York', true FROM generate_series(1, {LOCATIONS}) n;
INSERT INTO devices_device (location_id, serial, name, kind, metric, status, metadata, last_seen)
SELECT l.id, 'scale-' || n, 'Sensor ' || n, (ARRAY['thermometer', 'hygrometer', 'barometer', 'rain_gauge', 'anemometer',
    'particle_counter', 'gas_analyser', 'gas_analyser'])[n % 8 + 1], (ARRAY['temperature', 'humidity', 'pressure',
    'rain', 'wind_speed', 'pm25', 'no2', 'o3'])[n % 8 + 1], 'active', '{{}}', now()
FROM generate_series(1, {DEVICES}) n JOIN locations_location l ON l.code = 'scale-' || (n / 8 % {LOCATIONS} + 1);
INSERT INTO devices_reading (device_id, metric, unit, value, taken_at)
SELECT d.id, d.metric, '', random() * 30, date_trunc('minute', now()) - step
FROM devices_device d, (SELECT n * interval '5 minutes' AS step FROM generate_series(1, 288) n
    UNION ALL SELECT interval '24 hours' + n * interval '1 hour' FROM generate_series(1, 144) n) steps
WHERE d.serial LIKE 'scale-%';
ANALYZE;
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_fleet", description="What analytics cost.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout to measure beside")
    parser.add_argument("--publish", action="store_true", help="write the result into docs/performance.md")
    arguments = parser.parse_args()
    with servers.running(fsync=False) as started:
        environment = environment_for(started) | {"DATABASE_CONNECT_TIMEOUT": "30"}  # of a busy machine
        seed(environment, days=1)
        with psycopg.connect(started.database_url, autocommit=True) as database:
            database.execute(FLEET)
        checkouts = {"plain": ROOT} | ({"before": arguments.before} if arguments.before else {}) | {"cached": ROOT}
        measured = measure(started, environment, arguments.rounds, checkouts)
        machine = report.machine(started.described)
    report.keep("large_fleet", measured, as_text(measured, machine), PAGE if arguments.publish else None, BEGIN, END)


def measure(
    started: servers.Servers, environment: dict[str, str], rounds: int, checkouts: dict[str, Path]
) -> dict[str, dict[str, list[float]]]:
    """Return by page, and by process and how warm, the milliseconds of each round's request."""
    script = str(ROOT / "benchmarks" / "pages_worker.py")
    workers = {
        name: PipedProcess(name, [sys.executable, script, name], folder, environment | {"PYTHONPATH": str(folder)})
        for name, folder in checkouts.items()
    }
    found: dict[str, dict[str, list[float]]] = {
        page: {f"{name}, {how}": [] for name in workers for how in ("cold", "warm")} for page in PAGES
    }
    for number in range(rounds + 1):
        for page, address in PAGES.items():
            for name, worker in workers.items():
                started.empty(REDIS_DATABASE)
                worker.ask("run", page="/profile/", count=1)  # the session, and the connections
                cold = worker.ask("run", page=address, count=1)["took"]
                warm = worker.ask("run", page=address, count=WARM)["worked"]
                if number:  # the first round connects and makes plans
                    found[page][f"{name}, cold"].append(cold[0] / 1e6)
                    found[page][f"{name}, warm"].append(min(warm) / 1e6)
    for worker in workers.values():
        worker.end()
    return found


def as_text(measured: dict[str, dict[str, list[float]]], machine: dict[str, str]) -> str:
    """Return the result as Markdown: the medians of the rounds."""
    columns = list(next(iter(measured.values())))
    lines = [f"| ms | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for page, found in measured.items():
        lines.append(f"| {page} | {' | '.join(f'{statistics.median(found[name]):.0f}' for name in columns)} |")
    warm = statistics.median(measured["24 h"]["cached, warm"])
    met = "met" if warm <= GOAL else f"not met ({warm:.0f})"
    rounds = len(next(iter(measured["24 h"].values())))
    told = "; ".join(f"{name}: {value}" for name, value in machine.items())
    return "\n".join([*lines, "", f"Goal: a warm page of 24 hours in {GOAL:.0f} ms: {met}. {rounds} rounds. {told}."])


if __name__ == "__main__":
    main()
