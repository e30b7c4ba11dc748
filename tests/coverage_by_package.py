"""Sum up coverage by package: `coverage json -q -o - | python -m tests.coverage_by_package`."""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any


def table(report: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each package, of its own files, and one for all."""
    packages: dict[str, Counter[str]] = defaultdict(Counter)
    for path, figures in report["files"].items():
        packages[str(PurePath(path).parent)].update(figures["summary"])
    yield f"{'package':40} {'lines':>7} {'missed':>7} {'covered':>8}\n"
    for package, sums in (*sorted(packages.items()), ("all", report["totals"])):
        parts = sums["num_statements"] + sums["num_branches"]
        covered = (sums["covered_lines"] + sums["covered_branches"]) / parts if parts else 1
        yield f"{package:40} {sums['num_statements']:7,} {sums['missing_lines']:7,} {covered:8.0%}\n"


if __name__ == "__main__":
    sys.stdout.writelines(table(json.load(sys.stdin)))
