"""What is drawn over a chart's own line, and percentiles, against the same by hand."""

import csv
import json
import re
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from analytics.percentiles import PERCENTS, percentiles
from analytics.series import Line, chart
from analytics.summaries import locations_of, selected
from analytics.windows import window_until
from devices.directory import fleet_at
from devices.models import Reading
from devices.spans import SPANS
from tests.analytics.conftest import NEWEST
from tests.analytics.test_figures import SELECTIONS, chosen, fits

WINDOW = window_until(SPANS["30d"], NEWEST, ZoneInfo("America/New_York"))


def drawn(client: Client, query: str) -> dict[str, Any]:
    """Return what the page's script is given."""
    content = client.get(f"/analytics/?{query}").content.decode()
    return json.loads(re.search(r'id="chart-data"[^>]*>(.+?)</script>', content)[1])


@pytest.mark.parametrize("name", ["all", "one place", "kind", "nowhere"])
def test_percentiles_are_values_of_their_ranks(name: str, readings: list[Reading]) -> None:
    selection = chosen(name, readings)
    values = sorted(reading.value for reading in readings if fits(reading, selection, WINDOW))
    fleet = fleet_at(locations_of(selection))
    expected = {percent: values[ceil(percent * len(values) / 100) - 1] for percent in PERCENTS if values}
    assert percentiles("temperature", fleet, selection.kind, WINDOW, NEWEST) == expected
    assert bool(expected) == (name != "nowhere")


def test_the_page_shows_percentiles_where_they_are_asked_for(readings: list[Reading], admin_client: Client) -> None:
    Reading.objects.filter(metric="temperature").update(value=21.26)
    page = admin_client.get("/analytics/?metric=temperature&show=percentiles").content.decode()
    assert "<dt>Median</dt><dd>21.3\N{NARROW NO-BREAK SPACE}°C</dd>" in page
    assert "<dt>95th percentile</dt>" in page
    assert "percentile</dt>" not in admin_client.get("/analytics/?metric=temperature").content.decode()


def test_the_api_ranks_where_it_is_asked_to(readings: list[Reading], admin_client: Client) -> None:
    path = "/api/analytics?metric=temperature"
    page = admin_client.get("/analytics/?metric=temperature&show=percentiles")
    found = admin_client.get(f"{path}&percentiles=true").json()["percentiles"]
    assert found == {f"p{percent}": value for percent, value in page.context["percentiles"].items()}
    assert len(found) == len(PERCENTS)
    assert admin_client.get(path).json()["percentiles"] is None
    nothing = dict.fromkeys(found)
    for query in ("metric=device_count", "metric=o3"):  # no values, and no readings
        assert admin_client.get(f"/api/analytics?{query}&percentiles=true").json()["percentiles"] == nothing
    assert admin_client.get(f"{path}&percentiles=perhaps").status_code == 422


def test_another_metric_has_its_figures_its_axis_and_its_rows(readings: list[Reading], admin_client: Client) -> None:
    found = drawn(admin_client, "metric=temperature&second=pm25&window=30d")
    (line,) = found["others"]
    expected = selected(SELECTIONS["all"], WINDOW, NEWEST), drawn(admin_client, "metric=pm25&window=30d")["points"]
    assert (line["label"], line["unit"], line["axis"]) == ("PM2.5", "µg/m³", True)
    assert [y for _, y in line["points"]] == [average for _, average, *_ in expected[1]]
    assert (found["label"], found["unit"], found["band"]) == ("Temperature", "°C", False)
    text = admin_client.get("/analytics.csv?metric=temperature&second=pm25&window=30d").content.decode()
    rows = [row["metric"] for row in csv.DictReader(text.splitlines())]
    assert rows == ["temperature"] * len(expected[0].buckets) + ["pm25"] * len(expected[1])


@pytest.mark.parametrize("query", ["second=temperature", "second=evil", "second=pm25&show=locations", "show=evil"])
def test_nothing_else_is_drawn_where_it_would_say_nothing(
    query: str, readings: list[Reading], admin_client: Client
) -> None:
    others = drawn(admin_client, f"metric=temperature&{query}")["others"]
    assert [line["label"] for line in others] == (["Harbor", "Ridge"] if "locations" in query else [])


def test_locations_are_compared_by_their_own_buckets(readings: list[Reading], admin_client: Client) -> None:
    found = selected(SELECTIONS["kind"], WINDOW, NEWEST, compared=1)
    assert len(found.by_location) == 1
    found = selected(SELECTIONS["kind"], WINDOW, NEWEST, compared=8)
    for row in found.locations:
        own = selected(SELECTIONS["kind"].__class__("temperature", (row.location_id,), "hygrometer"), WINDOW, NEWEST)
        assert found.by_location[row.location_id] == own.buckets
    lines = drawn(admin_client, "metric=temperature&show=locations&window=30d")["others"]
    assert [(line["label"], line["axis"]) for line in lines] == [("Harbor", False), ("Ridge", False)]


def test_metrics_of_one_unit_share_an_axis() -> None:
    (line,) = chart((), WINDOW, "temperature", [Line("Dew point", "dew_point", ())])["others"]
    assert not line["axis"]
