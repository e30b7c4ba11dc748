"""deploy/redis: real servers load the files, hold each setting, and keep each user to its own commands."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import redis

from tests.deploy.conftest import FILES, PASSWORDS
from tests.waiting import until

FORBIDDEN = [("FLUSHDB",), ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "port"), ("DEBUG", "SLEEP", "0")]
# What the fixture gives on the command line, and what names files or is a list of its own.
ELSEWHERE = {"include", "bind", "port", "client-output-buffer-limit", "masterauth"}
UNITS = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}


def settings_of(form: str) -> dict[str, str]:
    """Return the settings of common.conf and FORM.conf as CONFIG GET answers them."""
    lines = [line for name in ("common", form) for line in (FILES / "redis" / f"{name}.conf").read_text().splitlines()]
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {name: in_bytes(value) for name, value in pairs if name not in ELSEWHERE}


def in_bytes(value: str) -> str:
    match = re.fullmatch(r"(\d+)(kb|mb|gb)", value)
    return str(int(match[1]) * UNITS[match[2]]) if match else value


@pytest.mark.parametrize("form", ["pair", "cluster"])
def test_every_setting_is_in_force(start, form):
    with start(form).client("operations") as client:
        held = client.config_get("*")

    wanted = settings_of(form)
    if form == "cluster":
        wanted.pop("databases")  # a cluster has one; Valkey 8 says so, Redis 7 repeats the file
    assert {name: held[name] for name in wanted} == wanted
    assert held["client-output-buffer-limit"].endswith("slave 268435456 67108864 60 pubsub 33554432 8388608 60")
    assert len(wanted) > 30


def test_nobody_gets_in_without_a_password(pair):
    with pair.client() as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    with pair.client("app") as client, pytest.raises(redis.AuthenticationError):
        client.execute_command("AUTH", "app-secret")  # the default user's, who has none


@pytest.mark.parametrize("command", FORBIDDEN, ids=lambda command: command[0])
@pytest.mark.parametrize("user", ["app", "monitoring", "replication"])
def test_only_operations_may_run_dangerous_commands(pair, user, command):
    refused = "no permissions" if command[0] != "DEBUG" else "no permissions|not allowed"
    with pair.client(user) as client, pytest.raises(redis.ResponseError, match=refused):
        client.execute_command(*command)


@pytest.mark.parametrize(
    "command",
    ["SCRIPT FLUSH", "SCRIPT EXISTS 0", "FUNCTION LIST", "FUNCTION FLUSH", "FCALL f 0", "SELECT 1", "MOVE xyz:key 1",
     "CLIENT LIST", "CLIENT KILL ID 1", "PUBLISH channel 1", "SUBSCRIBE channel"],
)  # fmt: skip
def test_the_application_may_not_run_what_it_does_not_use(pair, command):
    with pair.client("app") as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


def test_operations_may(pair):
    with pair.client("operations") as client:
        client.set("key", 1)

        assert client.config_get("port")
        assert client.keys("*") == ["key"]
        assert client.flushall()


def test_monitoring_reads_figures_but_no_data(pair):
    with pair.client("monitoring") as client:
        assert client.info("memory")["maxmemory_policy"] == "volatile-lru"
        assert isinstance(client.slowlog_get(), list)  # what it holds depends on how busy the server is
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("key")


def test_a_reader_follows_its_primary(start, pair):
    reader = start("pair", "--replicaof", "127.0.0.1", str(pair.port))
    with pair.client("app") as writer, reader.client("app") as client:
        writer.set("xyz:key", "value")

        until(lambda: client.get("xyz:key") == "value", "the replica has the write")
        with pytest.raises(redis.exceptions.ReadOnlyError):
            client.set("xyz:key", "other")


def test_the_script_makes_a_cluster_that_the_application_can_use(start):
    nodes = [start("cluster") for _ in range(4)]
    addresses = [f"127.0.0.1:{node.port}@{node.bus}" for node in nodes]

    first, again = form_cluster(addresses), form_cluster(addresses)

    assert first.endswith("The cluster is made: 2 shards of a primary and a replica.\n")
    assert again == "The cluster is there.\n"
    client = redis.RedisCluster("127.0.0.1", nodes[0].port, username="app", password="app-secret")
    with client:
        assert [client.set(f"xyz:key{number}", number) for number in range(20)] == [True] * 20
        assert {node.port for node in client.get_primaries()} == {nodes[0].port, nodes[2].port}
    for primary, replica in (nodes[0:2], nodes[2:4]):
        with replica.client("app") as own:
            assert own.info("replication")["master_port"] == primary.port


@pytest.mark.parametrize("password", ["", "two words", "slash/", "quote'"])
def test_a_password_that_would_not_survive_the_files_is_refused(tmp_path, password):
    done = subprocess.run(
        ["sh", FILES / "redis" / "start.sh", "pair", tmp_path],
        env=os.environ | PASSWORDS | {"APP_PASSWORD": password, "REDIS_SERVER": "true"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "APP_PASSWORD" in done.stderr
    assert list(Path(tmp_path).iterdir()) == []


def form_cluster(addresses: list[str]) -> str:
    done = subprocess.run(
        ["sh", FILES / "redis" / "form-cluster.sh", *addresses],
        env=os.environ | PASSWORDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.replace("OK\n", "")
