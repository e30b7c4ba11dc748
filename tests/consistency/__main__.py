"""Command line of the harness: `python -m tests.consistency --reads 5000000 --faults kill,failover --seed 1`."""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.consistency import follower_faults
from tests.consistency.board import FIGURES
from tests.consistency.faults import FAULTS
from tests.consistency.follower_run import FollowerRun
from tests.consistency.run import Options, Outcome, Run
from tests.consistency.strategies import STRATEGIES
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import HOME, PAIRS, REGIONS
from xyzsite.localregions.plan import Options as ServerOptions


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.consistency", description=__doc__)
    default = Options()
    parser.add_argument("--reads", type=int, default=default.reads)
    parser.add_argument("--seconds", type=float, default=default.seconds)
    followers = f"with --followers, {', '.join(follower_faults.FAULTS)}, kill"
    parser.add_argument("--faults", default="", help=f"by comma, of {', '.join(FAULTS)}; {followers}; or all")
    parser.add_argument("--regions", default="us-west-2", help=f"by comma, of {', '.join(REGIONS)}")
    parser.add_argument("--followers", default="", help="regions that cache their replica: read there, write at home")
    parser.add_argument("--freeze-seconds", type=float, default=default.freeze_seconds)
    parser.add_argument("--near", type=float, default=default.near, help="seconds: read at this level")
    parser.add_argument("--readers", type=int, default=default.readers)
    parser.add_argument("--writers", type=int, default=default.writers)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--strategy", choices=STRATEGIES, default="engine")
    parser.add_argument("--on-unreachable", choices=("queue", "strict"), default=default.on_unreachable)
    parser.add_argument("--wait-replicas", type=int, default=default.wait_replicas)
    parser.add_argument("--hot", type=int, default=default.hot)
    parser.add_argument("--pause-seconds", type=float, default=default.pause_seconds)
    parser.add_argument("--stop-at-stale", action="store_true")
    parser.add_argument("--pause", type=float, default=default.pause)
    parser.add_argument("--reads-per-write", type=float, default=default.reads_per_write)
    parser.add_argument("--kill-every", type=float, default=default.kill_every)
    return chosen(parser, vars(parser.parse_args()))


def chosen(parser: argparse.ArgumentParser, given: dict[str, Any]) -> Options:
    """Return the options as they were given; end with an error where they are none."""
    given["followers"] = tuple(filter(None, given["followers"].split(",")))
    known = (*follower_faults.FAULTS, "kill") if given["followers"] else FAULTS
    given["faults"] = frozenset(known if given["faults"] == "all" else filter(None, given["faults"].split(",")))
    given["regions"] = (HOME,) if given["followers"] else tuple(given["regions"].split(","))
    if unknown := given["faults"] - set(known):
        parser.error(f"unknown faults: {', '.join(sorted(unknown))}")
    if not set(given["followers"]) <= set(PAIRS):
        parser.error(f"--followers takes {', '.join(PAIRS)}, by comma.")
    return Options(**given)


def summary(outcome: Outcome) -> str:
    figures = outcome.figures
    lines = [f"{name:14} {figures[name]:>12,}" for name in FIGURES]
    lines += [
        f"{'writers killed':14} {outcome.kills:>12,}",
        f"{'servers killed':14} {outcome.servers_killed:>12,}",
        f"{'failovers':14} {outcome.failovers:>12,}",
        f"{'shards back':14} {outcome.crashed:>12,}",
        f"{'evicted':14} {outcome.evicted:>12,}",
        f"{'seconds':14} {outcome.seconds:>12,.0f}",
        f"{'reads/s':14} {figures['reads'] / max(outcome.seconds, 0.001):>12,.0f}",
    ]
    lines += [f"{name:20} {count:>6,}" for name, count in sorted(outcome.faults.items())]
    return "\n".join(lines)


def main() -> int:
    given = options()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(2))  # and end what was started
    with tempfile.TemporaryDirectory(prefix="consistency-", ignore_cleanup_errors=True) as folder:
        directory = Path(folder)
        directory.chmod(0o711)  # PostgreSQL's user enters it
        (directory / "run").mkdir()
        regions = LocalRegions(directory / "regions")
        try:
            has_replicas = bool(given.followers)
            servers = ServerOptions(postgres=True, replicas=has_replicas, volatile=True, replace_after=0.5)
            regions.up(servers, owner=os.getpid())
            tell(f"{given}")
            kind = FollowerRun if given.followers else Run
            outcome = kind(given, regions, directory / "run", tell).run()
        finally:
            regions.down()
    tell(summary(outcome))
    for report in outcome.reports[:20]:
        tell(json.dumps(report))
    return 1 if outcome.stale else 0


if __name__ == "__main__":
    sys.exit(main())
