"""Lines over a quantity as a picture: one line a series, both axes by tens where they span more than two."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 300, 64, 16, 62, 46  # pixels
COLOURS = ("#b8b8b8", "#d9a066", "#2f7d4f", "#7aa6c2", "#a3506b")
WIDE = 20  # of the largest to the smallest, from which on an axis is by tens
STEPS = 4  # lines across, where an axis is even

Points = Sequence[tuple[float, float]]


class Picture(NamedTuple):
    """What is drawn: names of both axes, and points by series."""

    title: str
    across: str
    up: str
    series: Mapping[str, Points]


class Scale(NamedTuple):
    """Where values stand between two pixels."""

    low: float
    high: float
    start: float
    end: float
    by_tens: bool

    def place(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.by_tens:
            low, high, at = (math.log10(each) for each in (low, high, at))
        share = (at - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def marks(self) -> list[float]:
        if self.by_tens:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        return [self.low + (self.high - self.low) * step / STEPS for step in range(STEPS + 1)]


def scale(values: Sequence[float], start: float, end: float, *, from_zero: bool) -> Scale:
    """Return a scale that shows all values: by tens where they are far apart and none is 0."""
    low, high = min(values), max(values)
    if low > 0 and high / low >= WIDE:
        return Scale(10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)), start, end, True)
    return Scale(0.0 if from_zero else low, round_up(high) if from_zero else high, start, end, False)


def round_up(value: float) -> float:
    """Return the next number that is easily read: 1, 2, 2.5, 4, 5, 8 or 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= value * 0.999999)


def short(value: float) -> str:
    """Write a number for an axis: 12000 -> "12k"."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.3g}"


def write(picture: Picture, path: Path) -> None:
    """Draw it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(drawn(picture)) + "\n")


def drawn(picture: Picture) -> Iterator[str]:
    """Yield the lines of an SVG file. Raise ValueError where there is nothing to draw."""
    points = [point for own in picture.series.values() for point in own]
    if not points:
        raise ValueError(f"{picture.title}: nothing was measured.")
    across = scale([x for x, _ in points], LEFT, WIDTH - RIGHT, from_zero=False)
    up = scale([y for _, y in points], HEIGHT - BOTTOM, TOP, from_zero=True)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    yield ' font-family="sans-serif" font-size="11">'
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    yield f'<text x="12" y="20" font-size="14" font-weight="bold">{escape(picture.title)}</text>'
    for value in up.marks():
        y = up.place(value)
        yield f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{short(value)}</text>'
    for value in sorted({x for x, _ in points}):
        yield f'<text x="{across.place(value)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{short(value)}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(picture.across)}</text>'
    yield f'<text x="12" y="{TOP - 10}">{escape(picture.up)}</text>'
    x = 12
    for number, (name, own) in enumerate(picture.series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(across.place(at), up.place(value)) for at, value in own]
        line = "L".join(f"{left} {top}" for left, top in places)
        yield f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{left}" cy="{top}" r="3" fill="{colour}"/>' for left, top in places)
        yield f'<rect x="{x}" y="28" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="37">{escape(name)}</text>'
        x += 32 + 7 * len(name)
    yield "</svg>"
