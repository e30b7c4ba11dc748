"""The files of a Redis node: its configuration, and the nodes.conf that makes it a member of the cluster at once."""

from pathlib import Path

from xyzsite.localregions import plan as layout
from xyzsite.localregions.plan import HOST, SHARDS, Node, Plan
from xyzsite.localregions.programs import RedisProgram

SLOTS = 16_384
# Nodes that the supervisor has replaced in time never notice; longer than a busy machine's delays, in milliseconds.
CLUSTER_NODE_TIMEOUT = 5_000
# nodes.conf names the shard since this version (Valkey counts on from it).
SHARD_IDS = (7, 2)

# No diskless synchronisation: after one, a primary may wait a second for the replica's first acknowledgement before it
# sends it any write.
COMMON = """\
bind {host}
protected-mode yes
daemonize no
dir {folder}
save 900 1 300 10 60 10000
stop-writes-on-bgsave-error no
appendonly no
maxmemory 256mb
maxmemory-policy volatile-lru
hz 100
tcp-backlog 511
repl-diskless-sync no
repl-backlog-size 8mb
repl-ping-replica-period 1
"""
# Only the supervisor promotes: two primaries have no majority to do it.
CLUSTER = """\
cluster-enabled yes
cluster-config-file nodes.conf
cluster-port {bus}
cluster-node-timeout {timeout}
cluster-announce-ip {host}
cluster-require-full-coverage no
cluster-replica-validity-factor 0
cluster-replica-no-failover yes
cluster-allow-replica-migration no
"""
TLS = """\
port 0
tls-port {port}
tls-replication yes
tls-cluster yes
tls-auth-clients no
tls-cert-file {folder}/server.crt
tls-key-file {folder}/server.key
tls-ca-cert-file {folder}/ca.crt
"""


def write(plan: Plan, node: Node, program: RedisProgram) -> Path:
    """Write a node's files, readable by us only (they hold the password), and return its redis.conf."""
    folder = plan.folder(node)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The last snapshot. New regions start from nothing; and a server program other than the last one could not read it.
    (folder / "dump.rdb").unlink(missing_ok=True)
    text = COMMON.format(host=HOST, folder=quoted(folder))
    if plan.options.tls:
        text += TLS.format(port=plan.port(node.name), folder=plan.directory / "tls")
    else:
        text += f"port {plan.port(node.name)}\n"
    if node.kind == "cluster":
        text += CLUSTER.format(host=HOST, bus=plan.port(layout.bus(node)), timeout=CLUSTER_NODE_TIMEOUT)
        (folder / "nodes.conf").write_text(nodes_conf(plan, node, shard_ids=program.version >= SHARD_IDS))
    if plan.options.password:
        text += f"requirepass {quoted(plan.options.password)}\nmasterauth {quoted(plan.options.password)}\n"
    conf = folder / "redis.conf"
    conf.touch(mode=0o600)
    conf.write_text(text)
    return conf


def nodes_conf(plan: Plan, own: Node, *, shard_ids: bool) -> str:
    """Return the nodes.conf of a new cluster, as one of its nodes sees it.

    The nodes that will be primaries begin as replicas and are then promoted with TAKEOVER: a node that begins as a
    primary refuses writes for 2 s (CLUSTER_WRITABLE_DELAY in Redis' cluster.c). Newer servers know shards by an
    identity of their own: a primary follows only whom it finds in its shard.
    """
    nodes = [node for node in layout.redis_nodes() if node.kind == "cluster"]
    identity = {node.name: f"{0xA000 + index:040x}" for index, node in enumerate(nodes)}
    lines = []
    for node in nodes:
        partner = next(other for other in nodes if other.shard == node.shard and other is not node)
        flags = "myself," if node == own else ""
        flags, master, slots = (
            (flags + "slave", identity[partner.name], "") if node.first else (flags + "master", "-", slot_range(node))
        )
        address = f"{HOST}:{plan.port(node.name)}@{plan.port(layout.bus(node))}"
        if shard_ids:
            address += f",,shard-id={0xB000 + (node.shard or 0):040x}"
        lines.append(f"{identity[node.name]} {address} {flags} {master} 0 0 {node.shard} connected {slots}".strip())
    return "\n".join([*lines, f"vars currentEpoch {SHARDS} lastVoteEpoch 0", ""])


def slot_range(node: Node) -> str:
    """Return the slots of a node's shard: "0-8191" for the first of two."""
    assert node.shard is not None
    first = SLOTS * (node.shard - 1) // SHARDS
    return f"{first}-{SLOTS * node.shard // SHARDS - 1}"


def quoted(value: str | Path) -> str:
    """Return a value as redis.conf takes it, whatever it contains."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
