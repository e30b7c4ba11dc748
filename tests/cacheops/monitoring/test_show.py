"""CacheMonitor, cache_stats and /metrics: the same figures, also of regions that are away or have no servers."""

import json
import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from prometheus_client.parser import text_string_to_metric_families

from cacheops.databases import table_keys
from cacheops.exceptions import CommandRefused, InvalidOption
from cacheops.instrumentation import gauges
from cacheops.instrumentation.counters import counters
from cacheops.instrumentation.gauges import register_source
from cacheops.monitoring.keyspace import group_of
from cacheops.monitoring.monitor import CacheMonitor, human_bytes, states
from cacheops.monitoring.nodes import read_nodes
from cacheops.monitoring.recorder import flusher
from cacheops.monitoring.report import MODEL_COLUMNS
from cacheops.monitoring.views import may_scrape
from cacheops.regions import regions
from cacheops.stores.base import EncodedEntry, TableTags
from users.models import User

pytestmark = pytest.mark.django_db(databases="__all__")

SCHEMES = ("Bearer", "bearer", "Basic", "")
NOWHERE = "redis://127.0.0.1:9"  # the discard port: nobody listens


def count_some() -> None:
    for _ in range(3):
        counters.hit("devices.device:get", 0.001)
    counters.read("devices.device:get", misses=1, fills=1, bytes=400, absent=1, stale_fills=7)
    counters.timed("w|devices_device|update", "k", 0.004, writes=2, tags=6)
    flusher.flush()


@pytest.fixture
def away(settings: Any, region: str) -> str:
    """Add a region whose servers are away; return its name."""
    options = settings.CACHES["us-west-2"]["OPTIONS"] | {"RETRIES": 0}
    settings.CACHES = {
        **settings.CACHES,
        "mars": {**settings.CACHES["us-west-2"], "LOCATION": [NOWHERE], "OPTIONS": options},
    }
    settings.CACHEOPS_REGIONS = (region, "mars")
    return "mars"


@pytest.fixture
def token(settings: Any) -> dict[str, str]:
    settings.CACHEOPS_METRICS_TOKEN = "secret-of-prometheus"
    return {"Authorization": "Bearer secret-of-prometheus"}


def test_the_monitor_tells_what_was_counted(region: str) -> None:
    count_some()
    metrics = CacheMonitor().get_cache_metrics()
    assert (metrics.hits, metrics.misses, metrics.total_operations, metrics.hit_rate) == (3, 1, 4, 0.75)
    assert metrics.avg_response_time == pytest.approx(1.0, rel=0.01)
    assert metrics.memory_usage >= 0
    seen = CacheMonitor(region).usage(hours=24)
    assert seen.by_model()["devices.device"].bytes == 400
    assert seen.writes["devices.device", "update"].tags == 6
    assert seen.writes["devices.device", "update"].writes == 2
    assert sum(point.reads.hits for point in CacheMonitor().history(hours=24)) == 3
    assert sum(point.reads.hits for point in CacheMonitor().history(minutes=5)) == 3
    polled = {server for point in CacheMonitor().history(minutes=5) for server in point.nodes}
    assert polled == {node.server for node in read_nodes(regions[region], with_rates=False)}


def test_keys_are_told_by_model_and_kind_with_their_bytes(region: str) -> None:
    keys = table_keys("default", "devices_device")
    store = regions[region].store
    store.lease([TableTags(keys, ("serial=1",), ("serial",))], keys.loader("a"), 60, 0).result()
    for digest, size in (("a", 100), ("b", 50_000)):
        store.fill([EncodedEntry(keys.entry(digest), b"x" * size, 60)]).result()
    found = CacheMonitor().distribution()
    assert found.complete
    assert found.by_model() == {"devices.device": 2}
    entries = next(group for group in found.groups if group.kind == "entries")
    assert entries.bytes > 50_000
    assert entries.largest[0][0] == keys.entry("b")
    assert CacheMonitor().get_key_distribution()["devices.device:tags"] == 2
    assert not CacheMonitor().distribution(most=1).complete


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("co:{default@aB3-_x9Z.devices_device}:e:x", ("devices.device", "entries")),
        ("co:{default.unknown}:t:*", ("unknown", "tags")),
        ("co:{metrics.m-1}:s", ("metrics", "metrics")),
        ("something", ("other", "other")),
    ],
)
def test_a_key_tells_its_model_and_kind(key: str, parts: tuple[str, str]) -> None:
    assert group_of(key) == parts


def test_memory_is_told_under_the_specifications_names(region: str) -> None:
    found = CacheMonitor().get_memory_analysis()
    assert {"used_memory_human", "used_memory_peak_human", "memory_fragmentation_ratio", "memory_efficiency"} < set(
        found
    )
    assert len(found["nodes"]) == len(regions[region].store.inspection.nodes())


@pytest.mark.servers
def test_a_region_that_is_away_is_shown_as_down(region: str, away: str) -> None:
    count_some()
    here, there = states()
    assert (here.health, there.health, there.reachable) == ("healthy", "down", False)
    assert there.error


def test_a_state_with_a_lost_node_is_degraded(region: str) -> None:
    state = CacheMonitor().state()
    lost = replace(state.nodes[0], error="refused")
    assert replace(state, nodes=(*state.nodes, lost)).health == "degraded"


def test_memory_is_that_of_the_primaries(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node = replace(CacheMonitor().state().nodes[0], role="primary", used_memory=3, maxmemory=10, error="")
    replica = replace(node, role="replica", used_memory=5, maxmemory=7)
    monkeypatch.setattr(CacheMonitor, "get_nodes", lambda monitor: [node, replica, node, replace(node, error="away")])
    assert CacheMonitor().get_memory_analysis()["used_memory_human"] == "6B"
    state = replace(CacheMonitor().state(), nodes=(node, replica, node))
    assert (state.memory, state.memory_limit) == (6, 20)
    assert replace(state, nodes=(node, replace(node, maxmemory=0))).memory_limit == 0


@pytest.mark.servers
def test_cache_stats_for_a_person(region: str, away: str) -> None:
    count_some()
    said = StringIO()
    call_command("cache_stats", stdout=said)
    text = said.getvalue()
    assert "75.0 %" in text
    (line,) = (line for line in text.splitlines() if "  devices.device  " in line and "%" in line)
    row = dict(zip(dict(MODEL_COLUMNS), re.split(r"  +", line.strip()), strict=True))
    assert (row["model"], row["stale fills"], row["refused"]) == ("devices.device", "7", "0")
    assert "does not answer" in text
    assert ("embedded" in text) is (not regions[region].store.remote)


@pytest.mark.servers
def test_cache_stats_for_a_program(region: str, away: str) -> None:
    count_some()
    said = StringIO()
    call_command("cache_stats", region=region, json=True, stdout=said)
    (found,) = json.loads(said.getvalue())["regions"]
    assert found["last_24_hours"]["total"]["hits"] == 3
    assert found["last_24_hours"]["total"]["look_up"]["p95"] == pytest.approx(0.001, rel=0.07)
    call_command("cache_stats", region=away, json=True, stdout=(said := StringIO()))
    assert json.loads(said.getvalue())["regions"][0]["health"] == "down"


def test_cache_stats_watches_until_it_is_interrupted(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("cacheops.management.commands.cache_stats.time.sleep", sleep)
    said = StringIO()
    call_command("cache_stats", watch=1.5, stdout=said)
    assert slept == [1.5] * 3
    assert said.getvalue().count("(this process's region)") == 3


@pytest.mark.parametrize("options", [{"region": "nowhere"}, {"watch": 0.0}])
def test_wrong_arguments_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(CommandError):
        call_command("cache_stats", **options)


# --- /metrics -------------------------------------------------------------------------------------------------------


def scraped(client: Client, **extra: Any) -> dict[str, list[Any]]:
    answer = client.get("/metrics", **extra)
    assert answer.status_code == 200, answer.content
    families = text_string_to_metric_families(answer.content.decode())
    return {
        sample.name: [s for s in family.samples if s.name == sample.name]
        for family in families
        for sample in family.samples
    }


def test_prometheus_reads_the_regions_figures(client: Client, region: str, token: dict[str, str]) -> None:
    count_some()
    found = scraped(client, headers=token)
    outcomes = {sample.labels["outcome"]: sample.value for sample in found["cacheops_reads_total"]}
    assert outcomes == {"hits": 3, "misses": 1, "stale": 0, "bypasses": 0}
    failures = {sample.labels["kind"]: sample.value for sample in found["cacheops_failures_total"]}
    assert failures["stale_fills"] == 7
    assert [sample.value for sample in found["cacheops_look_up_seconds_count"]] == [3]
    assert found["cacheops_region_up"][0].value == 1
    assert all(sample.value == 1 for sample in found["cacheops_node_up"])
    assert found["cacheops_invalidations_total"][0].labels["model"] == "devices.device"


@pytest.mark.servers
def test_a_region_that_is_away_is_a_figure_and_no_error(client: Client, away: str, token: dict[str, str]) -> None:
    answer = client.get("/metrics?region=all", headers=token)
    assert 'cacheops_region_up{region="mars"} 0.0' in answer.content.decode()
    assert client.get("/metrics?region=venus", headers=token).status_code == 404


def test_the_figures_are_not_public(client: Client, admin_client: Client, settings: Any, token: dict[str, str]) -> None:
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert client.get("/metrics", headers=token).status_code == 200
    assert admin_client.get("/metrics").status_code == 200
    settings.CACHEOPS_METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 403
    settings.CACHEOPS_METRICS_NETWORKS = ("10.0.0.0/8", "::1/128")
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="11.1.2.3").status_code == 403
    assert client.get("/metrics", REMOTE_ADDR="").status_code == 403


def test_staff_are_let_in_while_they_are_active_and_a_token_as_a_bearers_only(token: dict[str, str]) -> None:
    request = RequestFactory().get("/metrics")
    for active, staff in ((True, True), (True, False), (False, True)):
        request.user = User(is_active=active, is_staff=staff)
        assert may_scrape(request) == (active and staff)
    secret = token["Authorization"].partition(" ")[2]
    found = {
        scheme: may_scrape(RequestFactory().get("/", headers={"Authorization": f"{scheme} {secret}"}))
        for scheme in SCHEMES
    }
    assert found == {"Bearer": True, "bearer": True, "Basic": False, "": False}


def test_other_parts_tell_their_figures(
    client: Client, region: str, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "_gauges", {})
    register_source("write_behind", lambda: {"depth": 4})

    def broken() -> dict[str, float]:
        raise CommandRefused("no permission")

    register_source("broken", broken)
    assert scraped(client, headers=token)["cacheops_write_behind_depth"][0].value == 4
    with pytest.raises(InvalidOption):
        register_source("Write behind", dict)


def test_our_own_parts_are_registered(client: Client, region: str, token: dict[str, str]) -> None:
    found = scraped(client, headers=token)
    assert {"cacheops_invalidation_queue_depth", "cacheops_write_behind_dead_letters"} <= set(found)


@pytest.mark.parametrize(("count", "text"), [(0, "0B"), (1536, "1.50K"), (5 * 2**20, "5.00M"), (3 * 2**40, "3072.00G")])
def test_bytes_are_written_as_redis_does(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_figures_stand_beside_djangos_cache(region: str) -> None:
    """Clearing the cache of Django in the same servers leaves the figures."""
    count_some()
    caches[region].clear()
    assert CacheMonitor().usage(hours=1).total.hits == 3
