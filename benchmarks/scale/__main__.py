"""How cost grows: `python -m benchmarks.scale` (`make bench-scale`); `--axes rows writes` for a look."""

import argparse
import json
import time
from pathlib import Path

from benchmarks import report, servers
from benchmarks.environments import FOLDER, PLAIN, ROOT
from benchmarks.scale import axes, site
from benchmarks.scale import report as shown

PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
ALL = {"pages": site.pages, **axes.AXES}


def main() -> None:
    arguments = parsed()
    if arguments.from_json:
        data = json.loads(arguments.from_json.read_text())
    else:
        data = measured(arguments.axes, arguments.seconds, arguments.many_rows)
        report.write_json(data, FOLDER / "scale.json")
    text = shown.as_text(data["points"], data["machine"], data["seconds"])
    print(text)
    if arguments.publish:
        report.put_into(PAGE, text, BEGIN, END)
        shown.draw(data["points"], PAGE.parent / "images")


def measured(names: list[str], seconds: float, many_rows: bool) -> dict[str, object]:
    """Run axes, one after the other, on one database and one Redis server."""
    began, points = time.monotonic(), []
    if many_rows:
        axes.ROWS = (*axes.ROWS, axes.MANY_ROWS)
    with servers.running(fsync=False) as started:
        bench = axes.Bench(started, seconds)
        with bench.several(PLAIN, 1) as (first,):
            first.ask("create_few")
        with bench.several(axes.BY_NAME[axes.HEADLINE], 1) as (first,):
            first.ask("prepare")
        for name in names:
            print(f"{time.monotonic() - began:5.0f} s: {name}", flush=True)
            points += list(ALL[name](bench))
        machine = report.machine(started.described)
    return {"points": points, "machine": machine, "seconds": time.monotonic() - began}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--axes", nargs="+", choices=list(ALL), default=list(ALL))
    parser.add_argument("--seconds", type=float, default=5, help="of a rate")
    parser.add_argument("--many-rows", action="store_true", help="10 million rows too, which takes minutes more")
    parser.add_argument("--publish", action="store_true", help="write the result into docs/scale.md, with its pictures")
    parser.add_argument("--from-json", type=Path, help="measure nothing: show an earlier result")
    return parser.parse_args()


if __name__ == "__main__":
    main()
