"""The ratios to plain Django as a picture: one group of bars an operation, less is better."""

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.environments import BY_NAME
from benchmarks.goals import GOALS

WIDTH, LEFT, TOP, BAR, GAP = 860, 250, 64, 11, 12  # pixels
FULL = 2.0  # the ratio at the right edge; longer bars are cut, and their figure tells
TITLE = "Time as a ratio to plain Django (1.0); less is better"
COLOURS = {
    "floor": "#b8b8b8",
    "cacheops": "#7aa6c2",
    "insideout": "#a9c7da",
    "cachalot": "#d9a066",
    "models": "#2f7d4f",
    "ours": "#5b9a73",
    "engine": "#a3cbb2",
    "cluster": "#7fb593",
}


def write(data: Mapping[str, Any], path: Path) -> None:
    """Draw all operations of a result."""
    operations = data["operations"]
    names = [name for name in next(iter(operations.values())) if name != "plain"]
    height = TOP + sum(len(names) * BAR + GAP for _ in operations) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{TITLE}</text>',
        *legend(names),
        *bars(operations, names),
        f'<path d="M{place(1)} {TOP - 4}V{height - 24}" stroke="#444" stroke-dasharray="3 3"/>',
        f'<text x="{place(1)}" y="{height - 8}" text-anchor="middle">plain Django</text>',
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n")


def place(ratio: float) -> float:
    """Return the x of a ratio."""
    return round(LEFT + min(ratio, FULL) / FULL * (WIDTH - LEFT - 60), 1)


def legend(names: list[str]) -> Iterator[str]:
    x = 12
    for name in names:
        title = BY_NAME[name].title
        yield f'<rect x="{x}" y="36" width="10" height="10" fill="{COLOURS[name]}"/>'
        yield f'<text x="{x + 14}" y="45">{escape(title)}</text>'
        x += 30 + 7 * len(title)


def bars(operations: Mapping[str, Any], names: list[str]) -> Iterator[str]:
    y = TOP
    for operation, by_peer in operations.items():
        middle = y + len(names) * BAR / 2 + 4
        title = escape(GOALS[operation].title.replace("`", ""))
        yield f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{title}</text>'
        for name in names:
            ratio = by_peer[name]["ratio"]
            width = place(ratio) - LEFT
            yield f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{COLOURS[name]}"/>'
            yield f'<text x="{place(ratio) + 4}" y="{y + 8}" font-size="9">{ratio:.2f}</text>'
            y += BAR
        y += GAP
