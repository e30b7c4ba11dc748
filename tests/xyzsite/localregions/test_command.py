"""manage.py regions, as people type it."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests import clients
from tests.waiting import until


@pytest.fixture
def run(breakable_regions):
    def run(*arguments):
        out = io.StringIO()
        call_command("regions", *arguments, "--dir", str(breakable_regions.directory), stdout=out)
        return out.getvalue()

    return run


def test_status_is_a_table_of_every_node(run, breakable_regions):
    shown = run("status")
    for row in breakable_regions.status():
        assert row["node"] in shown
        assert row["address"] in shown
    for heading in ("role", "shard", "lag", "memory", "pid"):
        assert heading in shown


def test_status_for_programs(run):
    rows = json.loads(run("status", "--json"))
    assert {row["region"] for row in rows} == {"us-east-1", "us-west-2", "us-east-2"}
    assert [row["node"] for row in rows if row["kind"] == "postgres"] == [
        "us-east-1-db",
        "us-west-2-db",
        "us-east-2-db",
    ]
    for row in rows:
        assert row["pid"] > 0
        if row["kind"] != "postgres":
            assert row["memory"] > 0


def test_a_node_is_paused_and_resumed(run, breakable_regions):
    name = clients.replica(breakable_regions, "us-west-2")["node"]
    assert run("pause", name) == f"{name} is paused.\n"
    assert clients.row(breakable_regions, name)["state"] == "paused"
    run("resume", name)
    until(lambda: clients.row(breakable_regions, name)["state"] == "up", "the node is up")


def test_a_region_is_cut_off_and_healed(run, breakable_regions):
    run("partition", "us-west-2")
    states = {row["region"]: row["state"] for row in breakable_regions.status()}
    assert states == {"us-east-1": "up", "us-west-2": "partitioned", "us-east-2": "up"}
    run("heal")
    assert {row["state"] for row in breakable_regions.status()} == {"up"}


def test_a_killed_node_and_a_failover(run, breakable_regions):
    before = clients.primary(breakable_regions, "us-east-2")["node"]
    run("failover", "us-east-2")
    after = clients.primary(breakable_regions, "us-east-2")["node"]
    assert after != before
    run("kill", after)
    until(lambda: clients.primary(breakable_regions, "us-east-2")["node"] == before, "the former primary")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("kill", "us-west-2-c"), "us-west-2-b"), (("partition", "mars"), "us-west-2"), (("failover", "x"), "us-east-2")],
)
def test_unknown_names_list_the_right_ones(run, arguments, named):
    with pytest.raises(CommandError, match=named):
        run(*arguments)


def test_up_where_all_runs_with_other_options(run):
    with pytest.raises(CommandError, match=r"other options \(postgres, volatile"):
        run("up")


def test_commands_where_nothing_runs(tmp_path):
    with pytest.raises(CommandError, match="regions up"):
        call_command("regions", "status", "--dir", str(tmp_path))
    out = io.StringIO()
    call_command("regions", "down", "--dir", str(tmp_path / "nothing"), stdout=out)
    assert out.getvalue() == "No local regions run.\n"


def test_up_and_down(tmp_path):
    out = io.StringIO()
    call_command("regions", "up", "--password", "secret", "--dir", str(tmp_path), stdout=out)
    assert "8 nodes serve" in out.getvalue()
    for region in ("us-east-1", "us-west-2", "us-east-2"):
        assert f"XYZ_REGION={region}\n" in (tmp_path / f"{region}.env").read_text()
    call_command("regions", "up", "--password", "secret", "--dir", str(tmp_path), stdout=out)
    assert "run already" in out.getvalue()
    call_command("regions", "down", "--dir", str(tmp_path), stdout=out)
    assert "have ended" in out.getvalue()


def test_a_shard_crashes_and_comes_back_with_its_last_snapshots(run, breakable_regions):
    before = {row["node"]: row for row in breakable_regions.status() if row["node"].startswith("us-east-1-")}
    del before["us-east-1-db"]
    client = clients.cluster(breakable_regions)
    client.mset_nonatomic(dict.fromkeys(clients.KEYS.values(), "saved"))
    for row in before.values():
        clients.node(row).save()
    client.mset_nonatomic(dict.fromkeys(clients.KEYS.values(), "lost"))

    assert (
        run("crash", "us-east-1", "2") == "Shard 2 of us-east-1 has crashed, and comes back with its last snapshots.\n"
    )
    breakable_regions.wait_linked()
    values = until(lambda: read_all(client), "the cluster serves again")
    assert values == ["lost", "saved"]
    for row in breakable_regions.status():
        if row["node"] in before:
            assert (row["pid"] != before[row["node"]]["pid"]) == (row["shard"] == 2)
            assert row["role"] == before[row["node"]]["role"]


def read_all(client):
    try:
        return client.mget_nonatomic(clients.KEYS.values())
    except clients.FAILURES:
        return None


def test_a_whole_region_crashes(run, breakable_regions):
    west = clients.pair(breakable_regions, "us-west-2")
    west.set("key", "saved")
    clients.node(clients.primary(breakable_regions, "us-west-2")).save()
    west.set("key", "lost")
    run("crash", "us-west-2")
    breakable_regions.wait_linked()
    assert until(lambda: value_of(west), "the stable address answers") == "saved"


def value_of(client):
    try:
        return client.get("key")
    except clients.FAILURES:
        return None


def test_a_shard_that_is_not_there_is_named(run):
    with pytest.raises(CommandError, match="us-west-2 has no shard 3"):
        run("crash", "us-west-2", "3")


def test_a_region_is_put_far_away(run, breakable_regions):
    assert run("distance", "us-west-2", "62") == "us-west-2 is 62 ms from the other regions, there and back.\n"
    with pytest.raises(CommandError, match="percentage"):
        run("distance", "us-west-2", "62", "--loss", "100")
