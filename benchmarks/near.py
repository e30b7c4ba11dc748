"""What the level near gives: `python -m benchmarks.near`. A `get(pk)`, and look-ups while other processes write.

- In turns within one run: `get(pk)` of plain Django, at the level fresh, and at the level near; no one writes.
- Then other processes write rows of the same table, drawn from all 20,000, while one process reads 1,000 of them at the
  level near: by `get(pk)`, and by the look-up in the process alone, with a `get(pk)` where it finds nothing.
"""

import argparse
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import report, servers
from benchmarks.environments import BY_NAME, HEADLINE, NEAR, PLAIN, ROOT
from benchmarks.processes import PeerProcess

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- near: begin -->", "<!-- near: end -->"
CALLS = 1000  # a round and process
WRITERS, RATE = 2, 1000  # processes, and writes a second of all
NEARLY = 0.95  # of the rate must have been written for the goals to count as met
SECONDS = 10.0
GOALS = {"ratio": 0.06, "look-ups": 500_000, "hits": 0.95}
Measured = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.near", description="What the level near gives.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--publish", action="store_true", help="write the result into docs/performance.md")
    arguments = parser.parse_args()
    with servers.running(fsync=False) as started, peers(started) as processes:
        measured: Measured = {"calls": in_turns(processes, arguments.rounds)}
        measured |= {way: while_others_write(processes, way) for way in ("gets", "look_ups")}
        measured["machine"] = report.machine(started.described)
    report.keep("near", measured, as_text(measured), PAGE if arguments.publish else None, BEGIN, END)


@contextmanager
def peers(started: servers.Servers) -> Iterator[dict[str, PeerProcess]]:
    """Start what is compared, and the writers; those that cache share one region."""
    address = f"redis://127.0.0.1:{started.redis_port}/{NEAR.database}"
    chosen = {"plain": PLAIN, "fresh": BY_NAME[HEADLINE], "near": NEAR}
    chosen |= {f"writer {number}": BY_NAME[HEADLINE] for number in range(WRITERS)}
    with ExitStack() as stack:
        found: dict[str, PeerProcess] = {}
        for name, peer in chosen.items():
            found[name] = PeerProcess(peer, started.database_url, address)
            stack.callback(found[name].end)
            if peer == PLAIN:
                found[name].ask("create")
            found[name].ask("prepare")
        yield found


def in_turns(processes: dict[str, PeerProcess], rounds: int) -> dict[str, list[float]]:
    """Return by level the microseconds of the processor that each round's undisturbed call takes (10th percentile)."""
    found: dict[str, list[float]] = {"plain": [], "fresh": [], "near": []}
    for number in range(rounds + 1):
        for name, taken in found.items():
            worked = sorted(processes[name].ask("run", operation="get", count=CALLS)["worked"])
            if number:  # the first round connects, and subscribes
                taken.append(worked[len(worked) // 10] / 1000)
    return found


def while_others_write(processes: dict[str, PeerProcess], way: str) -> dict[str, float]:
    """Return what one process reads a second, by the clock and of its processor's time, and the share of hits."""
    writers = [process for name, process in processes.items() if name.startswith("writer")]
    with ThreadPoolExecutor(WRITERS) as threads:
        rate = RATE / WRITERS
        asked = [threads.submit(each.ask, "write", rate=rate, seconds=SECONDS + 2) for each in writers]
        found: dict[str, float] = processes["near"].ask("read_near", way=way, seconds=SECONDS)
        found["writes"] = sum(each.result()["rate"] for each in asked)
    return found


def as_text(measured: Measured) -> str:
    """Return the result as Markdown."""
    calls = measured["calls"]
    rows = [["`get(pk)`", "processor, µs", "of plain Django", "goal", "met"]]
    for name, taken in calls.items():
        ratio = statistics.median(one / plain for one, plain in zip(taken, calls["plain"], strict=True))
        met = "yes" if ratio <= GOALS["ratio"] else "no"
        goal = [f"{GOALS['ratio']:g}", met] if name == "near" else ["", ""]
        rows.append([name, f"{statistics.median(taken):.1f}", f"{ratio:.3f}", *goal])
    under = [
        ["one process, others write", "writes a second", "reads a second", "of its processor's time", "hits", "met"]
    ]
    for way, title in (("gets", "`get(pk)`"), ("look_ups", "look-ups")):
        found = measured[way]
        is_fast = way == "gets" or found["a second"] >= GOALS["look-ups"]
        met = is_fast and found["hits"] >= GOALS["hits"] and found["writes"] >= NEARLY * RATE
        figures = [f"{found[name]:,.0f}" for name in ("writes", "a second", "of the processor")]
        under.append([title, *figures, f"{found['hits']:.2%}", "yes" if met else "no"])
    machine = "; ".join(f"{name}: {value}" for name, value in measured["machine"].items())
    goals = f"Goals: {GOALS['look-ups']:,} look-ups a second, {GOALS['hits']:.0%} hits, at {RATE:,} writes a second."
    tail = f"{goals} {len(calls['plain'])} rounds of {CALLS:,} calls. Measured on: {machine}."
    return "\n\n".join([report.markdown(rows), report.markdown(under), tail])


if __name__ == "__main__":
    main()
