"""`make faults`, its first part: one row a fault, each broken for real by the tests named (docs/reliability.md)."""

import subprocess
import sys
import time

FAULTS = {
    "Redis refuses": ["tests/outage/test_refusals.py"],
    "Redis does not answer": ["tests/outage/test_pages.py", "tests/outage/test_log.py"],
    "a region is away, or parted": ["tests/faults/localregions"],
    "PostgreSQL stops, is killed, freezes": ["tests/outage/test_database.py"],
    "Redis primaries are killed": ["tests/recovery"],
    "workers, web processes, primaries are killed": ["tests/faults/write_behind"],
    "any key may be evicted": ["tests/traps/test_write_behind.py"],
    "bytes of entries and tags change": ["tests/races/test_mutated.py", "tests/cacheops/encoding/test_mutated.py"],
    "marks run out, are lost, are refused": ["tests/races/test_missed.py"],
    "clients idle, dawdle, send too much; SIGTERM; kill": ["tests/xyzsite/test_front.py"],
    "the supervisor of make run is killed": [
        "tests/xyzsite/localregions/test_serve.py",
        "tests/xyzsite/localregions/test_up_and_down.py",
    ],
}


def main() -> int:
    """Print the rows; return how many faults have broken a promise."""
    say("| fault | promise | tests | seconds |\n|---|---|---|---|")
    broken = 0
    for fault, selection in FAULTS.items():
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *selection],
            capture_output=True,
            text=True,
            check=False,
        )
        broken += done.returncode != 0
        outcome = done.stdout.strip().splitlines()[-1].partition(" in ")[0] if done.stdout.strip() else "did not start"
        kept = "broken" if done.returncode else "kept"
        say(f"| {fault} | {kept} | {outcome} | {time.monotonic() - began:.0f} |")
        if done.returncode:
            sys.stderr.write(done.stdout[-3000:] + done.stderr[-1000:])
    return broken


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
