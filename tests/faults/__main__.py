"""`python -m tests.faults`: one row a fault, each under load in all regions (docs/reliability.md)."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import machine, markdown, put_into
from tests.faults.breaks import FAULTS, Fault
from tests.faults.judge import Row, Seen, seconds_to_recover
from tests.faults.load import Load, Scene
from tests.faults.platform import Platform
from xyzsite.demo.load.account import Account, account_of
from xyzsite.demo.load.fleet import Posted
from xyzsite.localregions.manager import CHECKOUT

PAGE = CHECKOUT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
FLUSH_SECONDS = 30.0  # for what waits to reach the database
SHOWN = 5  # of what was not as promised, in a row


def main() -> int:
    """Print the table; return how many rows are not as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--publish", action="store_true", help="write the table into docs/reliability.md")
    arguments = parser.parse_args()
    chosen = [fault for fault in FAULTS if arguments.only in fault.name]
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user enters it
        platform = Platform(Path(folder))
        with platform.running() as sites:
            scene = Scene.of(sites, platform.make_world(), "admin", "demo-admin")
            began = time.monotonic()
            rows = [run(fault, platform, scene) for fault in chosen]
            seconds = time.monotonic() - began
    broken = sum(bool(row.broken(fault.allows)) for row, fault in zip(rows, chosen, strict=True))
    if arguments.publish:
        said = "; ".join(f"{name}: {value}" for name, value in machine({"all in": f"{seconds / 60:.0f} min"}).items())
        put_into(PAGE, f"{table(rows)}\n\n{said}.", BEGIN, END)
    say(table(rows))
    return broken


def run(fault: Fault, platform: Platform, scene: Scene) -> Row:
    """Break one thing after the other under load, and return what became of it."""
    row = Row(fault.name)
    with Load(scene, fault.late) as load:
        for step in fault.steps(platform):
            platform.wait_well()
            load.wait_for_all()
            began = time.monotonic()
            with step:
                time.sleep(fault.seconds)
            since = began if fault.mends_itself else time.monotonic()
            platform.wait_well()
            load.wait_for_all()
            row.seconds = max(row.seconds, seconds_to_recover(load.seen, since))
    row.add(load.seen)
    account = flushed(load.posted, platform, scene)
    row.acknowledged, row.lost, row.doubled = account.acknowledged, account.lost, account.doubled + account.wrong
    report(row, fault, load.seen)
    return row


def flushed(posted: Posted, platform: Platform, scene: Scene) -> Account:
    """Return the account of the readings, once all are in the database or none comes any more."""
    deadline = time.monotonic() + FLUSH_SECONDS
    while True:
        stored = platform.readings(scene.world.devices)
        account = account_of(posted, [one for one in stored if one[:2] in posted.sent])
        if not account.lost or time.monotonic() > deadline:
            return account
        time.sleep(0.5)


def report(row: Row, fault: Fault, seen: list[Seen]) -> None:
    """Say how a row went, and what in it was not as promised."""
    broken = row.broken(fault.allows)
    say(f"{fault.name}: {'not as promised: ' + ', '.join(broken) if broken else 'as promised'}; {dict(row.counts)}")
    for one in [one for one in seen if one.kind in broken][:SHOWN]:
        say(f"  {one}")


def table(rows: list[Row]) -> str:
    kinds = {"503": "503, Retry-After", "failed": "other errors", "no answer": "no answer", "stale": "stale"}
    kinds["unchecked"] = "said to be unchecked"
    heads = [
        "fault, under load",
        "requests",
        *kinds.values(),
        "readings acknowledged",
        "lost",
        "doubled",
        "recovered, s",
    ]
    lines = [
        [
            row.fault, f"{row.requests:,}", *(str(row.counts[kind]) for kind in kinds), f"{row.acknowledged:,}",
            str(row.lost), str(row.doubled), f"{row.seconds:.1f}",
        ]
        for row in rows
    ]  # fmt: skip
    return markdown([heads, *lines])


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
