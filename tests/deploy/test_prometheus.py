"""deploy/prometheus and deploy/grafana under the real programs: rules fire, and every expression finds something."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.cache import caches
from django.db import transaction
from pytest_django.live_server_helper import LiveServer

from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.gauges import register_source
from cacheops.monitoring.prometheus import exposition
from cacheops.monitoring.recorder import flusher
from devices.models import Device, Kind
from locations.models import Location
from tests.cacheops.monitoring.test_dashboards import DASHBOARD
from tests.deploy.conftest import FILES
from tests.layout import wait_for_replicas
from tests.waiting import until
from xyzsite import replica
from xyzsite.localregions import ports

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
RULES = FILES / "prometheus"
TOKEN = "secret-of-prometheus"
SCRAPE_SECONDS = 0.5

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool here: install prometheus")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus here: install it")

# What a run without failures, evictions, replicas' loss and full pools has no series of; or without replica and relay.
OF_NOTHING_YET = {"Errors", "Behind the database: replica, relay", "Log kept for relays"}


def promtool(*words: Any, given: bytes = b"") -> str:
    done = subprocess.run([str(PROMTOOL), *map(str, words)], input=given, capture_output=True, cwd=RULES, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def rules_of_the_file() -> list[Any]:
    (group,) = yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


@needs_promtool
def test_the_rules_are_sound_and_fire_when_they_should() -> None:
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml")
    assert f"SUCCESS: {len(rules_of_the_file())} rules found" in said
    promtool("test", "rules", "alerts.test.yaml")


def test_the_runbook_has_one_heading_an_alert() -> None:
    headings = re.findall(r"^## (.+)$", (RULES.parents[1] / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules_of_the_file()]


def use_the_platform() -> None:
    """Read, write, miss and hit, so that all is counted that a healthy platform counts."""
    place = Location.objects.create(name="Harbor", code=f"harbor-{uuid.uuid4().hex[:6]}")
    device = Device.objects.create(
        location=place, serial=f"P-{place.pk}", name="Quay", kind=Kind.THERMOMETER, metric="temperature"
    )
    for _ in range(3):
        Device.objects.get(pk=device.pk)
    with transaction.atomic():
        Device.objects.filter(pk=device.pk).update(name="Other")
    Device.objects.get(pk=device.pk)
    caches["us-east-1"].get("any")
    counters.event("warming", runs=1, warmed=5)
    assert flusher.flush()


@pytest.fixture
def figures_of_its_own(settings: Any) -> Iterator[None]:
    settings.CACHEOPS_PREFIX = f"t-{uuid.uuid4().hex[:8]}"
    settings.CACHEOPS_METRICS_TOKEN = TOKEN
    counters.reset()
    flusher.reset()
    register_source(replica.RELAY, dict)  # none runs here: the slot of one that others have tested would be an alert
    yield
    replica.register()
    counters.reset()
    flusher.reset()


@needs_promtool
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.usefixtures("figures_of_its_own")
def test_the_names_of_metrics_are_as_prometheus_advises() -> None:
    use_the_platform()
    promtool("check", "metrics", given=exposition())


Query = Callable[..., Any]


def configuration(target: str) -> str:
    config = {
        "global": {"scrape_interval": f"{round(SCRAPE_SECONDS * 1000)}ms", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "alerts.yaml")],
        "scrape_configs": [
            {
                "job_name": "cacheops",
                "authorization": {"credentials": TOKEN},
                "static_configs": [{"targets": [target]}],
            }
        ],
    }
    return json.dumps(config)  # which is YAML


@pytest.fixture
def query(live_server: LiveServer, figures_of_its_own: None, tmp_path: Path) -> Iterator[Query]:
    """Start a Prometheus that scrapes the platform; return a call to its API."""
    (tmp_path / "prometheus.yaml").write_text(configuration(live_server.url.removeprefix("http://")))
    address = f"127.0.0.1:{ports.choose(['prometheus'], {})['prometheus']}"
    command = [
        str(PROMETHEUS),
        f"--config.file={tmp_path / 'prometheus.yaml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]

    def ask(path: str, **values: str) -> Any:
        with urllib.request.urlopen(f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(values)}") as answer:
            return json.load(answer)["data"]

    def is_up() -> bool:
        try:
            found = ask("query", query="count_over_time(cacheops_region_up[1m]) >= 3 and on (instance) up == 1")
        except OSError:
            return False
        return bool(found["result"])

    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        use_the_platform()
        wait_for_replicas()
        until(is_up, f"Prometheus scrapes (its log: {tmp_path / 'log'})")
        yield ask
    finally:
        process.terminate()
        process.wait(30)


@needs_prometheus
@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_prometheus_finds_what_the_dashboard_and_the_rules_ask_for(query: Query) -> None:
    use_the_platform()  # now that it scrapes: rates are of what grows
    until(lambda: empty_panels(query) <= OF_NOTHING_YET, "each panel shows figures")
    rules = [rule for group in query("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(rules_of_the_file())
    for rule in rules:
        query("query", query=rule["query"])
        assert rule["health"] in ("ok", "unknown"), rule  # unknown: not evaluated yet
        assert not rule["alerts"], rule


def empty_panels(query: Query) -> set[str]:
    """Return the titles of panels with an expression that was parsed, and evaluated to nothing."""
    return {
        panel["title"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
        if not query("query", query=with_values(target["expr"]))["result"]
    }


def with_values(expression: str) -> str:
    """Put values in the place of Grafana's variables."""
    filled = expression.replace("$__rate_interval", "1m").replace("$region", ".*")
    assert not re.search(r"\$", filled), expression
    return filled
