"""The dashboard and the alert rules ask for nothing that /metrics does not tell."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cacheops.instrumentation import gauges
from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.gauges import register_source
from cacheops.monitoring.prometheus import exposition
from cacheops.monitoring.recorder import flusher
from cacheops.regions import regions
from cacheops.regions.lag import Lag
from cacheops.relay.state import RelayState
from xyzsite.replica import RELAY, figures, slot_figures
from xyzsite.router import REPLICA

pytestmark = pytest.mark.django_db(databases="__all__")

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "cache.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
NAME = re.compile(r"\bcacheops_[a-z0-9_]+")
LABELS = re.compile(r"(cacheops_[a-z0-9_]+)\{([^}]*)\}")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Return the names of all samples of a region that has seen everything, with their labels."""
    monkeypatch.setattr(gauges._gauges, "data", dict(gauges._gauges.data))  # a relay that is away is an alert elsewhere
    counters.hit("a.b:get", 0.001)
    counters.timed("w|devices_device|update", "k", 0.001, writes=1)
    counters.timed(f"t|{regions.local.name}", "m", 0.001, marks=1)
    counters.event("warming", runs=1)
    register_source(REPLICA, lambda: figures(Lag(0.5, 100, 0.5)))  # as in a region that has one
    register_source(RELAY, lambda: figures(Lag(0.5, 100, 0.5)) | slot_figures(RelayState("us-west-2", True, True)))
    flusher.flush()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]] + [
        rule["expr"] for rule in rules
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_name_and_label_is_told(expression: str, told: dict[str, set[str]]) -> None:
    names = set(NAME.findall(expression))
    assert names
    assert names <= set(told)
    for name, matchers in LABELS.findall(expression):
        assert {matcher.split("=")[0].strip("!~ ") for matcher in re.split(r",(?=\w+[=!])", matchers)} <= told[name]


def test_panels_stand_beside_each_other() -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]:
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in ("warning", "critical")
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
