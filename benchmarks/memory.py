"""What memory it takes: `python -m benchmarks.memory`.

- Ten thousand `get()`s of plain models are cached: what their entries and tags take by `MEMORY USAGE`, which counts
  key, value and what joins them, but not the times to live; and by how much all of Redis' memory has grown.
- One process of the platform answers 100,000 requests for pages, some of which nobody has asked for before, while
  readings come in; its resident memory is read at each tenth of them.
"""

import argparse
import sys
from collections import defaultdict
from typing import Any

from benchmarks import report, servers
from benchmarks.environments import BY_NAME, HEADLINE, PLAIN, ROOT
from benchmarks.pages import site_of_its_own
from benchmarks.processes import PipedProcess, running_peers
from cacheops.protocol.keys import ENTRY, TAG, parse

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- memory: begin -->", "<!-- memory: end -->"
FIRST, ENTRIES = 100, 10_000  # gets: before the memory is looked at first (plans, metrics, connections); in all
REQUESTS, STEPS = 100_000, 10
WRITES, NEW = 0.02, 0.1  # of the requests: readings that come in; addresses that nobody has asked for
GOALS = {"entry": 300, "growth": 0.02}  # bytes; of the memory at half of the requests
DAYS = 7
FIGURES = ("keys", "names", "values", "bytes")
KINDS = {ENTRY: "entries", TAG: "tags"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="What memory it takes.")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--publish", action="store_true", help="write the result into docs/performance.md")
    arguments = parser.parse_args()
    with servers.running(fsync=False) as started:
        entry, grown = of_an_entry(started)
        measured: dict[str, Any] = {"entry": entry, "grown": grown}
        measured["process"] = of_a_process(started, arguments.requests)
        measured["machine"] = report.machine(started.described)
    report.keep("memory", measured, as_text(measured), PAGE if arguments.publish else None, BEGIN, END)


def of_an_entry(started: servers.Servers) -> tuple[dict[str, dict[str, float]], float]:
    """Return by kind of key how many there are an entry, with their bytes; and by how much Redis grows an entry."""
    with running_peers(started, [PLAIN.name, HEADLINE]) as peers:
        started.empty(BY_NAME[HEADLINE].database)
        redis = started.redis(BY_NAME[HEADLINE].database)
        peers[HEADLINE].ask("fill_gets", count=FIRST)
        before = redis.info("memory")["used_memory"]
        peers[HEADLINE].ask("fill_gets", count=ENTRIES)
        grown = (redis.info("memory")["used_memory"] - before) / (ENTRIES - FIRST)
        found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(FIGURES, 0.0))
        for key in redis.scan_iter(count=1000):
            own = found[kind_of(key)]
            own["keys"] += 1 / ENTRIES
            own["names"] += len(key) / ENTRIES
            own["values"] += (redis.strlen(key) if redis.type(key) == b"string" else 0) / ENTRIES
            own["bytes"] += (redis.memory_usage(key, samples=0) or 0) / ENTRIES
    return dict(found), grown


def kind_of(key: bytes) -> str:
    """Return what a key of ours is; tags are those of rows, but for each table's generation."""
    parsed = parse(key.decode())
    return "the rest" if parsed is None else KINDS.get(parsed.kind, "the rest")


def of_a_process(started: servers.Servers, requests: int) -> dict[str, float]:
    """Return megabytes by the requests that were answered."""
    environment = site_of_its_own(started, DAYS)
    worker = PipedProcess("cached", [sys.executable, "-m", "benchmarks.pages_worker", "cached"], ROOT, environment)
    found = {}
    for step in range(1, STEPS + 1):
        taken = worker.ask("many", count=requests // STEPS, writes=WRITES, new=NEW, seed=step)
        found[str(requests // STEPS * step)] = taken["megabytes"]
        print(f"{requests // STEPS * step:,} requests: {taken['megabytes']:.1f} MB", flush=True)
    worker.end()
    return found


def growth(by_requests: dict[str, float]) -> float:
    """Return how much the memory has grown over the second half of the requests, as a share."""
    taken = list(by_requests.values())
    half = taken[len(taken) // 2 - 1]
    return taken[-1] / half - 1


def as_text(measured: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    rows = [["of one cached `get()`", "keys", "bytes of keys", "of values", "by `MEMORY USAGE`"]]
    kinds = measured["entry"]
    for kind, own in sorted(kinds.items(), key=lambda item: -item[1]["bytes"]):
        rows.append([kind, f"{own['keys']:.2f}", *(f"{own[name]:.0f}" for name in ("names", "values", "bytes"))])
    total = sum(own["bytes"] for own in kinds.values())
    taken = measured["process"]
    grown = growth(taken)
    line = [["requests", *(f"{int(count):,}" for count in taken)], ["MB", *(f"{each:.1f}" for each in taken.values())]]
    met = [
        f"{total:.0f} bytes an entry (goal {GOALS['entry']}: {'met' if total <= GOALS['entry'] else 'not met'}); Redis "
        f"as a whole, with its tables and times to live, grows by {measured['grown']:.0f}.",
        f"The process' memory has grown by {grown:.1%} over the second half of the requests "
        f"(at most {GOALS['growth']:.0%}: {'met' if grown <= GOALS['growth'] else 'not met'}).",
    ]
    machine = "; ".join(f"{name}: {value}" for name, value in measured["machine"].items())
    return "\n\n".join([report.markdown(rows), report.markdown(line), " ".join(met), f"Measured on: {machine}."])


if __name__ == "__main__":
    main()
