"""What runs where, before anything does."""

from pathlib import Path

import pytest

from xyzsite.localregions import environment, plan, redisfiles
from xyzsite.localregions.exceptions import UnknownName
from xyzsite.localregions.plan import Options, Plan
from xyzsite.localregions.programs import RedisProgram
from xyzsite.settings import regions as settings_regions


@pytest.fixture
def whole(tmp_path):
    options = Options(postgres=True)
    return Plan(tmp_path, options, {name: 20_000 + number for number, name in enumerate(plan.port_names(options))})


def test_the_regions_are_those_of_the_settings():
    assert set(plan.REGIONS) == set(settings_regions.REGIONS)
    assert plan.HOME == settings_regions.HOME_REGION


def test_nodes_of_the_specification():
    nodes = plan.redis_nodes()
    assert [node.name for node in nodes if node.first] == ["us-east-1-1a", "us-east-1-2a", "us-west-2-a", "us-east-2-a"]
    assert len(nodes) == 8
    assert plan.postgres_nodes(Options()) == []
    assert [node.name for node in plan.postgres_nodes(Options(postgres=True, replicas=False))] == ["us-east-1-db"]


def test_every_port_has_a_name_of_its_own():
    names = plan.port_names(Options(postgres=True))
    assert len(names) == len(set(names))


def test_a_link_leads_to_another_region_and_every_pair_of_regions_has_links():
    links = list(plan.links(Options(postgres=True)))
    assert all(source != region for source, region, _ in links)
    assert {(source, region) for source, region, _ in links} == {
        (source, region) for source in plan.REGIONS for region in plan.REGIONS if source != region
    }


def test_unknown_names():
    with pytest.raises(UnknownName, match="us-east-1, us-west-2, us-east-2"):
        plan.known_region("eu-west-1")
    with pytest.raises(UnknownName, match="us-west-2-a"):
        plan.known_node("us-west-2-z", Options())
    with pytest.raises(UnknownName):  # without --postgres there is no such node
        plan.known_node("us-west-2-db", Options())


def test_slots_are_shared_out_whole():
    assert redisfiles.slot_range(plan.redis_nodes()[0]) == "0-8191"
    assert redisfiles.slot_range(plan.redis_nodes()[2]) == "8192-16383"


def test_primaries_to_be_begin_as_replicas(whole):
    nodes = plan.redis_nodes()
    lines = redisfiles.nodes_conf(whole, nodes[0], shard_ids=False).splitlines()
    assert [line.split()[2] for line in lines[:4]] == ["myself,slave", "master", "slave", "master"]
    assert lines[0].split()[3] == lines[1].split()[0]
    assert [line.split()[8:] for line in lines[:4]] == [[], ["0-8191"], [], ["8192-16383"]]


def test_both_nodes_of_a_shard_have_its_identity_where_servers_know_it(whole):
    lines = redisfiles.nodes_conf(whole, plan.redis_nodes()[0], shard_ids=True).splitlines()
    identities = [line.split()[1].partition("shard-id=")[2] for line in lines[:4]]
    assert identities[0] == identities[1] != identities[2] == identities[3]


@pytest.mark.parametrize(
    ("value", "expected"), [("plain", '"plain"'), ('a "b"', '"a \\"b\\""'), ("back\\slash", '"back\\\\slash"')]
)
def test_values_are_quoted_for_the_configuration_file(value, expected):
    assert redisfiles.quoted(value) == expected


def test_home_sees_its_own_cluster_directly_and_pairs_through_links(whole):
    values = environment.environment(whole, "us-east-1")
    own = whole.port("us-east-1-1a")
    assert values["REDIS_URL_US_EAST_1"].startswith(f"redis://127.0.0.1:{own}/0,")
    assert "REDIS_ADDRESS_MAP_US_EAST_1" not in values
    assert values["REDIS_URL_US_WEST_2"] == f"redis://127.0.0.1:{whole.port('us-east-1>us-west-2-primary')}/0"
    assert "DATABASE_REPLICA_URL" not in values


def test_a_second_region_sees_its_pair_directly_and_home_through_links(whole):
    values = environment.environment(whole, "us-west-2")
    announced, link = whole.port("us-east-1-2b"), whole.port("us-west-2>us-east-1-2b")
    assert f"127.0.0.1:{announced}=127.0.0.1:{link}" in values["REDIS_ADDRESS_MAP_US_EAST_1"].split(",")
    assert f"redis://127.0.0.1:{link}/0" in values["REDIS_URL_US_EAST_1"].split(",")
    assert values["REDIS_READER_URL_US_WEST_2"] == f"redis://127.0.0.1:{whole.port('us-west-2-reader')}/0"
    assert str(whole.port("us-west-2>us-east-1-db")) in values["DATABASE_URL"]
    assert str(whole.port("us-west-2-db")) in values["DATABASE_REPLICA_URL"]


def test_data_to_be_kept_and_data_to_be_lost_have_different_folders(tmp_path):
    node = plan.postgres_nodes(Options(postgres=True))[0]
    kept = Plan(tmp_path, Options(postgres=True)).folder(node)
    lost = Plan(tmp_path, Options(postgres=True, volatile=True)).folder(node)
    assert kept != lost


def test_a_node_starts_without_what_another_server_program_has_left(whole):
    node = plan.redis_nodes()[0]
    folder = whole.folder(node)
    folder.mkdir(parents=True)
    (folder / "dump.rdb").write_bytes(b"REDIS9999 of a newer program")
    redisfiles.write(whole, node, RedisProgram(Path("redis-server"), "redis", (7, 0, 15), tls=False))
    assert not (folder / "dump.rdb").exists()
