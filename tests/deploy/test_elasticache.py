"""deploy/elasticache: valid CloudFormation that says what the specification's tables say."""

from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest
from cfnlint.api import ManualArgs, lint_file

FILES = Path(__file__).resolve().parents[2] / "deploy" / "elasticache"
REGIONS = ("us-east-1", "us-west-2", "us-east-2")

# Appendix B of the specification, "ElastiCache Redis Configuration".
SPECIFIED = {
    "us-east-1": {
        "ReplicationGroupId": "xyz-corp-redis-primary",
        "ReplicationGroupDescription": "Primary Redis cluster for XYZ Corp multi-database architecture",
        "NumNodeGroups": 2,
        "ReplicasPerNodeGroup": 1,
    },
    "us-west-2": {
        "ReplicationGroupId": "xyz-corp-redis-west",
        "ReplicationGroupDescription": "West region Redis cluster for XYZ Corp",
        "NumCacheClusters": 2,
        "PreferredCacheClusterAZs": ["us-west-2a", "us-west-2b"],
    },
    "us-east-2": {
        "ReplicationGroupId": "xyz-corp-redis-central",
        "ReplicationGroupDescription": "Central region Redis cluster for XYZ Corp",
        "NumCacheClusters": 2,
        "PreferredCacheClusterAZs": ["us-east-2a", "us-east-2b"],
    },
}
EVERYWHERE = {
    "Engine": "redis",
    "EngineVersion": "7.0",
    "CacheNodeType": {"Ref": "NodeType"},
    "Port": 6379,
    "MultiAZEnabled": True,
    "AutomaticFailoverEnabled": True,
    "TransitEncryptionEnabled": True,
    "AtRestEncryptionEnabled": True,
    "AuthToken": {"Fn::Sub": "{{resolve:secretsmanager:${AuthToken}:SecretString}}"},
    "CacheSubnetGroupName": {"Ref": "SubnetGroup"},
    "CacheParameterGroupName": {"Ref": "ParameterGroup"},
    "SecurityGroupIds": [{"Ref": "SecurityGroup"}],
}
NETWORKS = {  # VPC, subnet group, security group
    "us-east-1": ("vpc-xyz-corp-main", "xyz-corp-cache-subnet-group", "sg-xyz-cache-001"),
    "us-west-2": ("vpc-xyz-corp-west", "xyz-corp-west-cache-subnet-group", "sg-xyz-west-cache-001"),
    "us-east-2": ("vpc-xyz-corp-central", "xyz-corp-central-cache-subnet-group", "sg-xyz-central-cache-001"),
}
# Directives of redis.conf that ElastiCache keeps to itself: no parameter group has them.
NOT_THERE = {
    "maxmemory",
    "save",
    "appendonly",
    "bind",
    "port",
    "io-threads",
    "protected-mode",
    "tcp-nodelay",
    "tls-port",
}


def template(region: str) -> dict[str, Any]:
    content, problems = cfnlint.decode.decode(str(FILES / f"{region}.yaml"))
    assert problems == []
    return content


def resource(region: str, name: str) -> dict[str, Any]:
    return template(region)["Resources"][name]["Properties"]


@pytest.mark.parametrize("region", REGIONS)
def test_cfn_lint_finds_nothing(region):
    assert lint_file(FILES / f"{region}.yaml", config=ManualArgs(regions=[region])) == []


@pytest.mark.parametrize("region", REGIONS)
def test_the_replication_group_is_as_specified(region):
    group = resource(region, "ReplicationGroup")

    wanted = SPECIFIED[region] | EVERYWHERE
    assert {name: group.get(name) for name in wanted} == wanted
    assert template(region)["Parameters"]["NodeType"]["Default"] == "cache.t3.micro"


def test_the_shards_are_in_the_specified_zones():
    shards = resource("us-east-1", "ReplicationGroup")["NodeGroupConfiguration"]

    assert [(shard["PrimaryAvailabilityZone"], shard["ReplicaAvailabilityZones"]) for shard in shards] == [
        ("us-east-1a", ["us-east-1b"]),
        ("us-east-1b", ["us-east-1a"]),
    ]
    assert [shard["Slots"] for shard in shards] == ["0-8191", "8192-16383"]


@pytest.mark.parametrize("region", REGIONS)
def test_the_network_has_the_specified_names(region):
    vpc, subnet_group, security_group = NETWORKS[region]

    assert vpc in template(region)["Parameters"]["VpcId"]["Description"]
    assert resource(region, "SubnetGroup")["CacheSubnetGroupName"] == subnet_group
    assert resource(region, "SecurityGroup")["Tags"] == [{"Key": "Name", "Value": security_group}]
    (ingress,) = resource(region, "SecurityGroup")["SecurityGroupIngress"]
    assert ingress["SourceSecurityGroupId"] == {"Ref": "ApplicationSecurityGroupId"}


@pytest.mark.parametrize("region", REGIONS)
def test_parameters_are_those_that_elasticache_has(region):
    group = resource(region, "ParameterGroup")

    assert group["CacheParameterGroupFamily"] == "redis7"
    assert group["Properties"]["cluster-enabled"] == ("yes" if region == "us-east-1" else "no")
    assert group["Properties"]["maxmemory-policy"] == "volatile-lru"
    assert not NOT_THERE & set(group["Properties"])
    assert not [name for name in group["Properties"] if "rename" in name or "ziplist" in name]
