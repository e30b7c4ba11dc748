"""deploy/elasticache: valid CloudFormation that says what the specification's tables say."""

from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest
from cfnlint.api import ManualArgs, lint_file

from cacheops.monitoring.cloudwatch import DIMENSION, NAMESPACE
from tests.deploy.test_prometheus import rules_of_the_file
from tests.deploy.test_redis_files import settings_of

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
# What the groups have that the files name otherwise, or have not: a quarter of the memory is kept free there as well
# (maxmemory), the limit for subscribers is one line (client-output-buffer-limit), defragmentation is turned on by hand.
NAMED_OTHERWISE = {"reserved-memory-percent", "activedefrag"} | {
    f"client-output-buffer-limit-pubsub-{part}" for part in ("hard-limit", "soft-limit", "soft-seconds")
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


@pytest.mark.parametrize("region", REGIONS)
def test_parameters_have_the_values_of_the_files(region):
    held = resource(region, "ParameterGroup")["Properties"]
    files = settings_of("cluster" if region == "us-east-1" else "pair") | {"cluster-enabled": held["cluster-enabled"]}

    assert {name: files.get(name) for name in held if name not in NAMED_OTHERWISE} == {
        name: value for name, value in held.items() if name not in NAMED_OTHERWISE
    }


@pytest.mark.parametrize("region", REGIONS)
def test_the_other_regions_applications_get_in_and_nobody_else(region):
    """A writer marks and invalidates in all regions: each application needs each group's port, and nothing more."""
    resources = template(region)["Resources"]
    rules = {name: one for name, one in resources.items() if one["Type"] == "AWS::EC2::SecurityGroupIngress"}
    others = {"".join(map(str.title, other.split("-"))) for other in REGIONS if other != region}

    assert set(rules) == {f"IngressFrom{other}" for other in others}
    for other in others:
        rule = rules[f"IngressFrom{other}"]
        assert rule["Condition"] == f"HasApplicationIn{other}"
        assert template(region)["Parameters"][f"{other}ApplicationCidr"]["Default"] == ""
        opened = {name: value for name, value in rule["Properties"].items() if name != "Description"}
        assert opened == {
            "GroupId": {"Fn::GetAtt": ["SecurityGroup", "GroupId"]},
            "IpProtocol": "tcp",
            "FromPort": 6379,
            "ToPort": 6379,
            "CidrIp": {"Ref": f"{other}ApplicationCidr"},
        }


def test_alarms_are_the_alerts():
    alarms = {name: one["Properties"] for name, one in template("alarms")["Resources"].items()}
    published = (FILES.parents[1] / "docs" / "reference" / "metrics.md").read_text()

    assert lint_file(FILES / "alarms.yaml", config=ManualArgs(regions=list(REGIONS))) == []
    assert set(alarms) == {rule["alert"] for rule in rules_of_the_file()}
    for name, alarm in alarms.items():
        assert (alarm["Namespace"], alarm["Dimensions"][0]["Name"]) == (NAMESPACE, DIMENSION)
        assert f"| `{alarm['MetricName']}` |" in published, name
        assert alarm["AlarmDescription"].endswith(f"docs/runbook.md#{name.lower()}")
