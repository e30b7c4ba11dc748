"""The report of `make bench-scale`: its tables and pictures say what was measured. Nothing is measured here."""

import random
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.scale import __main__ as command
from benchmarks.scale import lines, report
from benchmarks.scale.axes import AXES

RATES = {"a second": 1234.5, "of the processor": 2345.6, "hits": 0.9876}
FOUND = (("plain", (900.0, 800.0)), ("cachalot", (1500.0, 700.0)), ("models", (6000.0, 3000.0)))
WAITED = {"loads": 1, "last reader after the load, ms": 70.4, "commands a reader": 52.0}
POINTS = [
    {"axis": "writes", "peer": peer, "x": x, **RATES, "a second": rate}
    for peer, rates in FOUND
    for x, rate in zip((0.0, 10.0), rates, strict=True)
]
POINTS.append({"axis": "waiting", "peer": "models", "x": 1000, **WAITED})


def test_tables_have_a_row_a_point_and_a_column_a_peer_and_figure() -> None:
    text = report.as_text(POINTS, {"Redis": "7"}, 61.2)
    head, rule, *rows = text.split("\n\n")[3].splitlines()
    assert head.count("|") == rule.count("|") == 1 + 1 + 3 * 3
    assert [row.split(" | ")[:4] for row in rows] == [["| 0", "900", "1,500", "6,000"], ["| 10", "800", "700", "3,000"]]
    assert rows[0].endswith("| 98.8% | 98.8% | 98.8% |")
    assert "| 1,000 | 1 | 70 | 52 |" in text
    assert text.endswith("Measured in 61 seconds on: Redis: 7.")
    assert text.index("## Writes") < text.index("## One loads")
    assert "## Rows" not in text


def test_each_axis_is_shown_and_drawn(tmp_path: Path) -> None:
    assert set(report.AXES) == set(command.ALL) == {"pages", *AXES}
    report.draw(POINTS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["scale-writes.svg"]
    assert f"images/{next(tmp_path.iterdir()).name}" in report.as_text(POINTS, {}, 1)


def test_a_picture_is_svg_with_a_line_a_series(tmp_path: Path) -> None:
    picture = report.pictures(POINTS)["writes"]
    lines.write(picture, tmp_path / "picture.svg")
    root = ET.parse(tmp_path / "picture.svg").getroot()
    places = root.findall("{*}circle")
    assert len(places) == 6
    assert len(root.findall("{*}path[@fill='none']")) == 3
    assert all(
        0 <= float(one.attrib["cx"]) <= lines.WIDTH and 0 <= float(one.attrib["cy"]) <= lines.HEIGHT for one in places
    )
    heights = [float(one.attrib["cy"]) for one in places]
    assert heights.index(min(heights)) == 4  # the highest rate is the first of ours
    assert {text.text for text in root.findall("{*}text")} >= {"Writes", "plain Django", "django-cachalot", "ours"}


@pytest.mark.parametrize(
    ("values", "by_tens", "marks"),
    [
        ([1000, 10_000, 1_000_000], True, ["1k", "10k", "100k", "1M"]),
        ([1, 2, 8], False, ["0", "2", "4", "6", "8"]),
        ([0, 900], False, ["0", "250", "500", "750", "1k"]),
        ([0.0], False, ["0", "0.25", "0.5", "0.75", "1"]),
    ],
)
def test_axes_show_all_values(values: list[float], by_tens: bool, marks: list[str]) -> None:
    scale = lines.scale(values, 0, 100, from_zero=True)
    assert scale.by_tens is by_tens
    assert [lines.short(mark) for mark in scale.marks()] == marks
    assert all(0 <= scale.place(value) <= 100 for value in values)
    assert sorted(values) == sorted(values, key=scale.place)


def test_a_single_point_can_be_drawn_and_none_is_an_error() -> None:
    assert list(lines.drawn(lines.Picture("One", "rows", "µs", {"ours": [(5, 7)]})))
    with pytest.raises(ValueError, match="nothing was measured"):
        list(lines.drawn(lines.Picture("None", "rows", "µs", {"ours": []})))


def test_random_values_stay_within_the_picture() -> None:
    chance = random.Random(3)
    for _ in range(200):
        values = [10 ** chance.uniform(-3, 7) for _ in range(chance.randint(1, 5))]
        scale = lines.scale(values, 300, 0, from_zero=chance.random() < 0.5)
        assert all(-0.1 <= scale.place(value) <= 300.1 for value in values), values
