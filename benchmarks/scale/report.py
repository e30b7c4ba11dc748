"""What was measured as Markdown tables and pictures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.environments import BY_NAME
from benchmarks.report import markdown
from benchmarks.scale.lines import Picture, write

Points = Sequence[Mapping[str, Any]]
TITLES = {"plain": "plain Django", "cachalot": "django-cachalot", "models": "ours", "cached": "ours"}
RATES = {
    "a second": ("a second", "{:,.0f}"),
    "of the processor": ("of the processes' time", "{:,.0f}"),
    "hits": ("without SQL", "{:.1%}"),
}
COSTS = {
    name: (f"{title}, µs", "{:.0f}")
    for name, title in (("get", "`get(pk)`"), ("list", "list of 100"), ("save", "`save()`"))
}


class Axis(NamedTuple):
    """How an axis is shown: a heading, what stands across, the figures (their titles and forms), and which is drawn."""

    heading: str
    across: str
    figures: Mapping[str, tuple[str, str]]
    drawn: str
    said: str


AXES = {
    "pages": Axis(
        "Pages", "% of requests that post a reading", RATES | {"sql": ("SQL a page", "{:.1f}")}, "a second",
        "The platform with the demo's 78 devices: 2 processes ask for pages of 100 addresses by Zipf's law, signed in "
        "as one person. Rates are pages a second.",
    ),
    "writes": Axis(
        "Writes", "% of calls that write", RATES, "a second",
        "2 processes: 8 in 10 reads are a `get(pk)` of 1,000 devices, the others a list of 100 or a `count()`, by "
        "Zipf's law; a write is an `update()` of one of these devices. Rates are calls a second.",
    ),
    "processes": Axis("Processes", "processes", RATES, "a second", "The same reads, nobody writes."),
    "rows": Axis(
        "Rows", "rows of the table", COSTS, "save",
        "Of the calling process' processor time, a hit, or a save of a row on which entries depend; the call that nine "
        "in ten exceed. Plain Django has no hits.",
    ),
    "entries": Axis(
        "Entries", "entries in the region", {**COSTS, "bytes": ("bytes an entry", "{:.0f}")}, "save",
        "Each entry depends on a row of its own. Bytes are all that Redis takes, its own tables included.",
    ),
    "schemes": Axis(
        "Schemes", "schemes of the table", COSTS, "save",
        "A scheme is a combination of columns in conditions; a save names a tag for each.",
    ),
    "shards": Axis(
        "Shards", "shards", RATES, "a second", "2 processes and a cluster without replicas; 10% of calls write."
    ),
    "dependents": Axis(
        "One write, many entries", "entries that depend on the row",
        {"save, ms": ("`save()`, ms", "{:.2f}"), "longest command, ms": ("longest command of Redis, ms", "{:.2f}")},
        "save, ms", "One save; all entries are outdated after it.",
    ),
    "waiting": Axis(
        "One loads, a thousand wait", "readers",
        {
            "loads": ("loads", "{:.0f}"),
            "last reader after the load, ms": ("last reader after the load, ms", "{:.0f}"),
            "commands a reader": ("commands of Redis a reader", "{:.0f}"),
        },
        "", "4 processes of 250 threads, connected before, ask at once for what takes a second to load. The servers "
        "share the processors with them: `CACHEOPS_TIMEOUT` is 2 s; after 50 ms readers would load themselves.",
    ),
}  # fmt: skip


def title_of(peer: str) -> str:
    return TITLES.get(peer) or BY_NAME[peer].title


def as_text(points: Points, machine: Mapping[str, str], seconds: float) -> str:
    """Return all axes as Markdown, with their pictures, which stand beside."""
    parts: list[str] = []
    for name, axis in AXES.items():
        own = [point for point in points if point["axis"] == name]
        if own:
            parts += [f"## {axis.heading}", axis.said, *picture_link(name, axis), table(axis, own)]
    told = "; ".join(f"{name}: {value}" for name, value in machine.items())
    return "\n\n".join([*parts, f"Measured in {seconds:.0f} seconds on: {told}."])


def picture_link(name: str, axis: Axis) -> Iterator[str]:
    if axis.drawn:
        yield f"![{axis.heading}: {drawn_title(axis)}](images/scale-{name}.svg)"


def drawn_title(axis: Axis) -> str:
    return axis.figures[axis.drawn][0].replace("`", "")


def table(axis: Axis, points: Points) -> str:
    """Return a row a point of the axis, a column a peer and figure."""
    peers = list(dict.fromkeys(point["peer"] for point in points))
    known = {(point["peer"], name) for point in points for name in point}
    columns = [(peer, name) for name in axis.figures for peer in peers if (peer, name) in known]
    told = [f": {title_of(peer)}" if len(peers) > 1 else "" for peer, _ in columns]
    head = [axis.across, *(axis.figures[name][0] + peer for (_, name), peer in zip(columns, told, strict=True))]
    rows = [head]
    for x in dict.fromkeys(point["x"] for point in points):
        found = {point["peer"]: point for point in points if point["x"] == x}
        cells = [axis.figures[name][1].format(found[peer][name]) if peer in found else "" for peer, name in columns]
        rows.append([f"{x:,g}" if x < 1_000_000 else f"{x:,.0f}", *cells])
    return markdown(rows)


def pictures(points: Points) -> dict[str, Picture]:
    """Return the pictures by axis."""
    found = {}
    for name, axis in AXES.items():
        series: dict[str, list[tuple[float, float]]] = {}
        for point in points:
            if point["axis"] == name and axis.drawn:
                series.setdefault(title_of(point["peer"]), []).append((point["x"], point[axis.drawn]))
        if series:
            found[name] = Picture(axis.heading, axis.across, drawn_title(axis), series)
    return found


def draw(points: Points, folder: Path) -> None:
    for name, picture in pictures(points).items():
        write(picture, folder / f"scale-{name}.svg")
