"""The results as JSON and as a Markdown table."""

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import Timings
from benchmarks.environments import BY_NAME, FOLDER, HEADLINE
from benchmarks.goals import BYTES, GOALS, LOST

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def as_data(timings: Timings, extras: Mapping[str, Any], described: Mapping[str, str]) -> dict[str, Any]:
    """Return all that was measured, ready for JSON. Times in microseconds."""
    return {
        "machine": {"python": platform.python_version(), "system": platform.platform(), **described},
        "operations": {
            operation: {
                name: {
                    "ratio": round(timing.ratio(by_peer["plain"]), 3),
                    "quiet": round(timing.quiet() / by_peer["plain"].quiet(), 3),
                    "median": round(timing.median(), 1),
                    "p99": round(timing.p99(), 1),
                    "work": round(timing.work(), 1),
                    "statements": round(timing.statements, 2),
                    "calls": len(timing.calls),
                }
                for name, timing in by_peer.items()
            }
            for operation, by_peer in timings.items()
        },
        "extras": extras,
    }


def text(data: Mapping[str, Any]) -> str:
    """Return everything as Markdown."""
    machine = "; ".join(f"{name}: {value}" for name, value in data["machine"].items())
    parts = [
        "Median of the rounds' ratios:",
        table(data, "ratio"),
        "Ratio of the undisturbed calls (10th percentile), which tells more where the machine is busy:",
        table(data, "quiet"),
        "Median and 99th percentile of a call, in microseconds:",
        peers(data, lambda one: f"{one['median']:.0f} / {one['p99']:.0f}"),
        "Processor's time of a call in the peer's process (10th percentile), in microseconds; waits are not in it:",
        peers(data, lambda one: f"{one['work']:.0f}"),
    ]
    if data["extras"]:
        parts += ["Besides:", other(data["extras"])]
    return "\n\n".join([*parts, f"Measured on: {machine}."])


def table(data: Mapping[str, Any], ratio: str) -> str:
    """Return a ratio to plain Django ("ratio": of the medians, "quiet": of undisturbed calls) beside the goals."""
    names = [name for name in next(iter(data["operations"].values())) if name != "plain"]
    titles = [BY_NAME[name].title for name in names]
    rows = [["operation", "Django, µs", *titles, "goal", "met"]]
    for operation, by_peer in data["operations"].items():
        goal = GOALS[operation]
        cells = [f"{by_peer[name][ratio]:.2f}" for name in names]
        if HEADLINE in names:
            cells[names.index(HEADLINE)] = f"**{cells[names.index(HEADLINE)]}**"
        rows.append([goal.title, f"{by_peer['plain']['median']:.0f}", *cells, *judged(goal.ratio, by_peer, ratio)])
    return markdown(rows)


def judged(goal: float | None, by_peer: Mapping[str, Any], ratio: str) -> list[str]:
    if goal is None or HEADLINE not in by_peer:
        return ["", ""]
    return [f"{goal:.2f}", "yes" if round(by_peer[HEADLINE][ratio], 2) <= goal else "no"]


def peers(data: Mapping[str, Any], cell: Callable[[Mapping[str, Any]], str]) -> str:
    """Return a table of operations and peers; `cell` writes what was measured of one."""
    names = list(next(iter(data["operations"].values())))
    rows = [["operation", *(BY_NAME[name].title for name in names)]]
    for operation, measured in data["operations"].items():
        rows.append([GOALS[operation].title, *map(cell, measured.values())])
    return markdown(rows)


def other(extras: Mapping[str, Any]) -> str:
    """Return the figures that are no times of one operation."""
    names = list(extras)
    rows = [["", *(BY_NAME[name].title for name in names), "goal"]]
    rows.append(["bytes of Redis for one cached `get()`", *(f"{extras[n]['bytes']:.0f}" for n in names), str(BYTES)])
    lost = [str(extras[name].get("lost", "")) for name in names]
    rows.append(["of 1,195 reads, missed after an unrelated `save()`", *lost, str(LOST)])
    for title, key, part in (
        ("`save()`, one entry depends on it, ms", "one dependent", "save"),
        ("`save()`, 10,000 entries depend on it, ms", "dependents", "save"),
        ("longest command of Redis in the latter, ms", "dependents", "longest command"),
    ):
        cells = [f"{extras[name][key][part]:.2f}" if key in extras[name] else "" for name in names]
        rows.append([title, *cells, "as with one" if key == "dependents" and part == "save" else ""])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def machine(described: Mapping[str, str]) -> dict[str, str]:
    """Return what is said of the machine: the servers as described, and how busy it is."""
    return {**described, "load": f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"}


def keep(name: str, measured: Mapping[str, Any], text: str, page: Path | None, begin: str, end: str) -> None:
    """Write what was measured as JSON, print it, and put it into a page, where one is given."""
    write_json(measured, FOLDER / f"{name}.json")
    print(text)
    if page is not None:
        put_into(page, text, begin, end)


def write_json(data: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n")


def put_into(page: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between the two marks of a page. Raises ValueError where they are missing."""
    before, _, rest = page.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no {begin} and {end} to write between.")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
