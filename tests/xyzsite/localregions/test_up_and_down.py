"""Starting and ending the regions, on every server program that this machine has."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import psycopg
import pytest

from tests import clients
from tests.waiting import until
from xyzsite.localregions import ports, processes, programs, state
from xyzsite.localregions.exceptions import LocalRegionsError, NotRunning, ProgramUnsuitable, ServerFailed
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.plan import Options

REDIS_PROGRAMS = [programs.redis_program(path) for path in programs.redis_paths()]
WITH_TLS = next((program for program in REDIS_PROGRAMS if program.tls), None)
WITHOUT_TLS = next((program for program in REDIS_PROGRAMS if not program.tls), None)
POSTGRES_FOLDERS = list(programs.postgres_folders())


@pytest.fixture
def regions(tmp_path):
    made = LocalRegions(tmp_path / "regions")
    yield made
    made.down()
    if made.state.data_root:
        shutil.rmtree(made.state.data_root, ignore_errors=True)


@pytest.fixture(params=REDIS_PROGRAMS, ids=str)
def program(request):
    return request.param


def pids(regions):
    return [row["pid"] for row in regions.status()]


def ended(pids):
    return not any(processes.started_at(pid) for pid in pids)


def test_everything_serves_with_replicas_linked(regions, program):
    assert regions.up(Options(redis_server=str(program.path))) is True
    rows = regions.status()
    assert [row["node"] for row in rows if row["role"] == "primary"] == [
        "us-east-1-1a",
        "us-east-1-2a",
        "us-west-2-a",
        "us-east-2-a",
    ]
    assert all((row["state"], row["in_sync"]) == ("up", True) for row in rows)
    cluster = clients.cluster(regions)
    for shard, key in clients.KEYS.items():
        assert cluster.set(key, f"shard {shard}")
        assert cluster.get_node_from_key(key).name == clients.primary(regions, "us-east-1", shard)["address"]
    for region in ("us-west-2", "us-east-2"):
        client = clients.pair(regions, region)
        assert client.set("key", region)
        assert client.wait(1, 5000) == 1
        assert clients.pair(regions, region, reader=True).get("key") == region


def test_a_cluster_failover_works_on_every_program(regions, program):
    regions.up(Options(redis_server=str(program.path), replace_after=0.2))
    for name in ("us-east-1-1a", "us-west-2-a"):
        regions.kill(name)
    cluster, west = clients.cluster(regions), clients.pair(regions, "us-west-2")
    until(lambda: clients.write(cluster, clients.KEYS[1], "after"), "a write to the shard")
    until(lambda: clients.write(west, "key", "after"), "a write to the pair")
    regions.wait_linked()
    assert {row["state"] for row in regions.status()} == {"up"}


def test_up_again_changes_nothing_and_other_options_are_refused(regions):
    regions.up()
    before = pids(regions)
    assert regions.up() is False
    assert pids(regions) == before
    with pytest.raises(LocalRegionsError, match="down"):
        regions.up(Options(password="secret"))


def test_down_leaves_no_process_and_up_takes_the_same_ports_but_for_taken_ones(regions):
    regions.up()
    before, addresses = [*pids(regions), regions.state.supervisor.pid], addresses_of(regions)
    regions.pause("us-west-2-a")  # a frozen server ends too
    assert regions.down() is True
    assert ended(before)
    assert regions.down() is False
    assert not list(regions.directory.glob("*.env"))
    with pytest.raises(NotRunning):
        regions.status()
    with socket.create_server(clients.address(addresses["us-west-2-a"])):
        regions.up()
        again = addresses_of(regions)
    assert again.pop("us-west-2-a") != addresses.pop("us-west-2-a")
    assert again == addresses


def addresses_of(regions):
    return {row["node"]: row["address"] for row in regions.status()}


def test_base_port_is_where_ports_begin(regions):
    base = max(ports.choose(["any"], {}).values())
    regions.up(base_port=base)
    taken = [clients.address(row["address"])[1] for row in regions.status()]
    assert min(taken) >= base
    assert max(taken) < base + 500


def test_a_password_is_asked_for(regions):
    regions.up(Options(password='quotes" and \\ and @:/'))
    assert clients.pair(regions, "us-west-2").set("key", "value")
    assert clients.cluster(regions).set("key", "value")
    with pytest.raises(Exception, match=r"(?i)authenticat"):
        clients.node(clients.row(regions, "us-west-2-a")).get("key")
    assert (regions.directory / "us-west-2.env").stat().st_mode & 0o077 == 0
    assert state.path(regions.directory).stat().st_mode & 0o077 == 0


@pytest.mark.debian
@pytest.mark.skipif(WITH_TLS is None, reason="no Redis server with TLS here: install redis-server")
def test_tls(regions):
    regions.up(Options(tls=True, password="secret", redis_server=str(WITH_TLS.path)))
    environment = regions.environment("us-east-1")
    assert environment["REDIS_URL_US_WEST_2"].startswith("rediss://:secret@")
    trusted = {"ssl_ca_certs": environment["REDIS_CA_CERTS"]}
    assert clients.pair(regions, "us-west-2", **trusted).set("key", "value")
    assert clients.cluster(regions, **trusted).set("key", "value")
    with pytest.raises(Exception, match="certificate verify failed"):
        clients.pair(regions, "us-west-2").ping()
    regions.kill("us-east-1-1a")
    cluster = clients.cluster(regions, **trusted)
    until(lambda: clients.write(cluster, clients.KEYS[1], "after"), "a write after the fault")


@pytest.mark.skipif(WITHOUT_TLS is None, reason="every Redis server here has TLS")
def test_tls_is_refused_where_the_program_lacks_it(regions):
    with pytest.raises(ProgramUnsuitable, match="without TLS"):
        regions.up(Options(tls=True, redis_server=str(WITHOUT_TLS.path)))
    assert not regions.running


def test_a_server_that_cannot_start_is_named(regions, tmp_path):
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v=7.2.0' || echo 'no memory left'\n")
    broken.chmod(0o755)
    with pytest.raises(ServerFailed, match="us-east-1-1a: no memory left"):
        regions.up(Options(redis_server=str(broken)))
    assert not regions.running


def test_a_killed_supervisor_takes_the_servers_with_it_or_the_next_up_does(regions):
    regions.up()
    before = pids(regions)
    os.kill(regions.state.supervisor.pid, signal.SIGKILL)
    until(lambda: not regions.running, "the supervisor's end")
    if sys.platform == "linux":
        until(lambda: ended(before), "the servers' end")
    assert regions.up() is True
    assert ended(before)
    assert clients.pair(regions, "us-west-2").ping()


def test_what_a_killed_supervisor_left_is_ended(regions, tmp_path):
    left = subprocess.Popen(["sleep", "60"])
    regions.directory.mkdir()
    server = state.Process.of(left.pid)
    gone = state.Process(left.pid, "another time")
    state.write(regions.directory, state.State(supervisor=gone, servers={"us-west-2-a": server, "us-west-2-b": gone}))
    assert regions.down() is True
    assert left.wait(5) == -signal.SIGKILL


def test_a_process_that_only_has_the_number_of_an_old_server_is_left_alone(regions):
    innocent = subprocess.Popen(["sleep", "60"])
    regions.directory.mkdir()
    old = state.Process(innocent.pid, "before")
    state.write(regions.directory, state.State(supervisor=old, servers={"us-west-2-a": old}))
    regions.down()
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()


def test_everything_ends_with_its_owner(regions):
    owner = subprocess.Popen(["sleep", "60"])
    regions.up(owner=owner.pid)
    before = [*pids(regions), regions.state.supervisor.pid]
    owner.kill()
    owner.wait()
    until(lambda: ended(before), "the end of the servers")
    assert not list(regions.directory.glob("*.env"))


def test_a_socket_path_that_is_too_long_is_made_elsewhere(tmp_path):
    regions = LocalRegions(tmp_path / ("long" * 30))
    regions.up()
    assert len(regions.status()) == 8
    regions.down()


@pytest.mark.parametrize("folder", POSTGRES_FOLDERS, ids=lambda folder: folder.parent.name)
def test_databases_on_every_program(regions, folder, monkeypatch):
    monkeypatch.setenv("XYZ_POSTGRES_BIN", str(folder))
    regions.up(Options(postgres=True, volatile=True))
    with psycopg.connect(regions.environment("us-west-2")["DATABASE_URL"], autocommit=True) as primary:
        assert primary.execute("show wal_level").fetchone() == ("logical",)
        assert primary.execute("show synchronous_commit").fetchone() == ("on",)
        primary.execute("create table noted as select 1 as value")
    # Each question in a transaction of its own: within one, PostgreSQL goes on saying that there is no such table.
    with psycopg.connect(regions.environment("us-west-2")["DATABASE_REPLICA_URL"], autocommit=True) as replica:
        until(lambda: rows(replica) == [(1,)], "the replica follows")
    data = regions.plan.data_root
    regions.down()
    assert not list(data.glob("*/PG_VERSION"))


def rows(connection):
    found = connection.execute("select to_regclass('noted')").fetchone()
    return connection.execute("select value from noted").fetchall() if found != (None,) else None


def test_databases_keep_their_data_and_replicas_their_place(regions):
    regions.up(Options(postgres=True))
    with psycopg.connect(regions.environment("us-east-1")["DATABASE_URL"], autocommit=True) as primary:
        primary.execute("create table noted as select 1 as value")
    regions.down()
    regions.up(Options(postgres=True))
    with psycopg.connect(regions.environment("us-west-2")["DATABASE_REPLICA_URL"]) as replica:
        assert replica.execute("select value from noted").fetchall() == [(1,)]
    assert {row["state"] for row in regions.status()} == {"up"}
    regions.failover_database("us-west-2")
    with psycopg.connect(regions.environment("us-east-1")["DATABASE_URL"], autocommit=True) as primary:
        primary.execute("insert into noted values (2)")
    regions.down()
    regions.up(Options(postgres=True))
    assert [row["role"] for row in regions.status() if row["node"] == "us-east-1-db"] == ["primary"]
    with psycopg.connect(regions.environment("us-east-1")["DATABASE_URL"]) as primary:
        slots = primary.execute("select slot_name::text from pg_replication_slots order by slot_name").fetchall()
        assert slots == [("us_east_2_db",), ("us_west_2_db",)]
    with psycopg.connect(regions.environment("us-west-2")["DATABASE_REPLICA_URL"]) as replica:
        assert replica.execute("select value from noted order by value").fetchall() == [(1,), (2,)]
