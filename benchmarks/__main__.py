"""Compare: `python -m benchmarks` for all peers, `--peers plain ours --operations get list --rounds 5` for a look."""

import argparse
import json
import random
from pathlib import Path
from typing import Any

from benchmarks import chart, comparison, extras, report, servers
from benchmarks.environments import BY_NAME, FOLDER, PEERS, PLAIN, ROOT
from benchmarks.processes import running_peers

PAGE = ROOT / "docs" / "performance.md"


def main() -> None:
    arguments = parsed()
    if arguments.from_json:
        publish(json.loads(arguments.from_json.read_text()))
        return
    if PLAIN.name not in arguments.peers:
        arguments.peers.insert(0, PLAIN.name)
    with (
        servers.running(fsync=arguments.fsync, awake=not arguments.let_sleep) as started,
        running_peers(started, arguments.peers) as peers,
    ):
        timings = comparison.compare(peers, started, arguments.operations, arguments.rounds, arguments.seed)
        described = {**report.machine(started.described), "rounds": str(arguments.rounds)}
        data = report.as_data(timings, {}, described)
        report.write_json(data, arguments.json)  # what follows takes minutes
        if not arguments.only_times:
            data["extras"] = extras.measure(peers, started)
            report.write_json(data, arguments.json)
    print(report.text(data))
    if arguments.publish:
        publish(data)


def publish(data: dict[str, Any]) -> None:
    """Write the tables into the page, and draw the chart beside it."""
    report.put_into(PAGE, report.text(data))
    chart.write(data, PAGE.parent / "images" / "performance.svg")
    print(f"Written: {PAGE.relative_to(ROOT)} and its chart.")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=list(BY_NAME), default=[peer.name for peer in PEERS])
    parser.add_argument("--operations", nargs="+", choices=list(comparison.CALLS), default=list(comparison.CALLS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="decides the peers' order")
    parser.add_argument("--fsync", action="store_true", help="PostgreSQL as it is installed")
    parser.add_argument("--let-sleep", action="store_true", help="measure on processors that sleep between calls")
    parser.add_argument("--only-times", action="store_true", help="leave out bytes, dependents and reads lost")
    parser.add_argument("--publish", action="store_true", help="write the result into docs/performance.md")
    parser.add_argument("--from-json", type=Path, help="measure nothing: publish an earlier result")
    parser.add_argument("--json", type=Path, default=FOLDER / "result.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
