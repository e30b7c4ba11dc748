"""deploy/compose.yaml: all three regions, servers that exist, and an environment that the settings understand."""

import re
from pathlib import Path
from typing import Any

import environ
import pytest
import yaml
from django.core.management import get_commands

from tests.deploy.conftest import PASSWORDS
from xyzsite.localregions import plan
from xyzsite.settings.regions import REGIONS, caches_from_environment

FILES = Path(__file__).resolve().parents[2] / "deploy"
# The keys of a service that this file uses, of those in the Compose specification.
KNOWN = {
    *("build", "command", "depends_on", "environment", "healthcheck", "image", "mem_limit", "ports", "profiles"),
    *("restart", "user", "volumes"),
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    content = yaml.safe_load((FILES / "compose.yaml").read_text())
    assert set(content) == {"name", "services", "volumes", "x-passwords", "x-redis", "x-cluster-node", "x-application"}
    return content["services"]


def test_each_node_of_the_regions_has_a_service(services):
    assert {node.name for node in plan.redis_nodes()} <= set(services)


def test_services_are_well_formed(services):
    for service in services.values():
        assert set(service) <= KNOWN
        assert ("image" in service) != ("build" in service)
        for name, condition in service.get("depends_on", {}).items():
            healthy = condition["condition"] == "service_healthy"
            assert not healthy or "test" in services[name]["healthcheck"]


def test_redis_services_start_with_files_that_are_there(services):
    for name, service in services.items():
        if service.get("image", "").startswith("redis:"):
            program = Path(service["command"][1])
            assert service["volumes"] == [f"./redis:{program.parent}:ro"], name
            assert (FILES / "redis" / program.name).is_file()
            assert set(service["environment"]) == set(PASSWORDS)


def test_readers_follow_the_primary_of_their_region(services):
    for node in plan.redis_nodes():
        if node.kind == "pair" and not node.first:
            assert services[node.name]["command"][-3:] == ["--replicaof", f"{node.region}-a", "6379"]


def test_the_cluster_is_formed_of_its_shards(services):
    assert services["us-east-1-init"]["command"][2:] == [
        f"{node.name}:6379" for node in plan.redis_nodes() if node.kind == "cluster"
    ]


def test_the_application_gets_every_region(services, monkeypatch):
    for name, value in services["web"]["environment"].items():
        monkeypatch.setenv(name, value)

    caches = caches_from_environment(environ.Env(), "us-east-1")

    assert set(caches) == {"default", *REGIONS, "parts"}
    for cache in [caches["default"], *(caches[region] for region in REGIONS)]:
        assert cache["BACKEND"] == "cacheops.backends.RegionCache"
        hosts = [url.rpartition("@")[2].partition(":")[0] for url in cache["LOCATION"]]
        assert set(hosts) <= set(services)


def test_the_image_is_built_from_files_that_are_there(services):
    build = services["web"]["build"]
    top = FILES.parent
    copied = [
        line.split()[1] for line in (top / build["dockerfile"]).read_text().splitlines() if line.startswith("COPY")
    ]

    assert build["context"] == ".."
    assert [name for name in copied if not (top / name).exists()] == []
    assert {"cacheops", "xyzsite", "devices", "locations", "analytics"} <= set(copied)


def test_the_guide_runs_commands_that_exist_and_what_compose_runs(services):
    guide = (FILES.parent / "docs" / "how-to" / "deploy.md").read_text()
    named = set(re.findall(r"manage\.py (\w+)", guide))
    run = {
        name for service in services.values() for name in re.findall(r"manage\.py\W+(\w+)", str(service.get("command")))
    }
    assert run <= named <= set(get_commands())
    assert run == {"migrate", "relay", "seed_demo", "flush_writes"}
    for path in re.findall(r"`((?:deploy|tests)/[\w./-]+)`", guide):
        assert (FILES.parent / path).exists(), path
