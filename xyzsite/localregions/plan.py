"""What runs: the specification's regions, their nodes, and the ports of these and of the links between regions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xyzsite.localregions.exceptions import UnknownName

HOST = "127.0.0.1"
# The region of the primary database; its caches run in cluster mode.
HOME = "us-east-1"
SHARDS = 2
PAIRS = ("us-west-2", "us-east-2")
REGIONS = (HOME, *PAIRS)

Kind = Literal["cluster", "pair", "postgres"]


@dataclass(frozen=True)
class Node:
    """One server. `shard` counts from 1; a PostgreSQL has none. `first` is the one that starts as the primary."""

    name: str
    region: str
    kind: Kind
    first: bool
    shard: int | None = None


@dataclass(frozen=True)
class Options:
    """How the regions run; what `regions up` takes. Times in seconds."""

    tls: bool = False
    password: str = ""
    postgres: bool = False
    replicas: bool = True
    volatile: bool = False
    redis_server: str = ""
    distance: Literal["none", "real"] = "none"  # between the regions, when they start
    # A primary that does not answer for so long is taken for dead. ElastiCache waits longer; a busy laptop's own
    # scheduling delays stay well below it.
    silence: float = 0.6
    # A killed node comes back as a replica after so long.
    replace_after: float = 1.0


@dataclass(frozen=True)
class Plan:
    """The options, the port of each name (`port_names`), and the folders."""

    directory: Path
    options: Options
    ports: dict[str, int] = field(default_factory=dict)
    data_root: Path | None = None

    def port(self, name: str) -> int:
        return self.ports[name]

    def folder(self, node: Node) -> Path:
        """Return the folder of a node's data. Data to be thrown away never lies where data to be kept does."""
        if node.kind != "postgres":
            return self.directory / node.name
        name = f"{node.name}-volatile" if self.options.volatile else node.name
        return (self.data_root or self.directory) / name

    def log(self, node: Node) -> Path:
        return self.directory / f"{node.name}.log"


def redis_nodes() -> list[Node]:
    """Return every Redis server: us-east-1-1a ... us-east-1-2b, us-west-2-a ... us-east-2-b."""
    cluster = [
        Node(f"{HOME}-{shard}{letter}", HOME, "cluster", letter == "a", shard)
        for shard in range(1, SHARDS + 1)
        for letter in "ab"
    ]
    pairs = [Node(f"{region}-{letter}", region, "pair", letter == "a", 1) for region in PAIRS for letter in "ab"]
    return cluster + pairs


def postgres_nodes(options: Options) -> list[Node]:
    """Return every PostgreSQL: us-east-1-db, and a replica of it for each second region."""
    if not options.postgres:
        return []
    regions = REGIONS if options.replicas else (HOME,)
    return [Node(f"{region}-db", region, "postgres", region == HOME) for region in regions]


def endpoints(options: Options) -> Iterator[tuple[str, str]]:
    """Yield (region, name) of all that other regions can reach: cluster nodes, pair endpoints, the primary database."""
    for node in redis_nodes():
        if node.kind == "cluster":
            yield node.region, node.name
    for region in PAIRS:
        yield region, primary_endpoint(region)
        yield region, reader_endpoint(region)
    if options.postgres:
        yield HOME, f"{HOME}-db"


def links(options: Options) -> Iterator[tuple[str, str, str]]:
    """Yield (from region, to region, endpoint) of each way between two regions."""
    for region, name in endpoints(options):
        for source in REGIONS:
            if source != region:
                yield source, region, name


def primary_endpoint(region: str) -> str:
    return f"{region}-primary"


def reader_endpoint(region: str) -> str:
    return f"{region}-reader"


def link(source: str, endpoint: str) -> str:
    """Return the name of the port at which processes of region `source` reach an endpoint of another region."""
    return f"{source}>{endpoint}"


def second(node: str) -> str:
    """Return the name of the port to which the home database moves when it loses its role: its own leads to the new."""
    return f"{node}@replica"


def bus(node: Node) -> str:
    """Return the name of the port at which cluster nodes talk to each other."""
    return f"{node.name}@bus"


def port_names(options: Options) -> list[str]:
    """Return a name for each port that the regions need."""
    nodes = [node.name for node in redis_nodes() + postgres_nodes(options)]
    buses = [bus(node) for node in redis_nodes() if node.kind == "cluster"]
    stable = [name for region in PAIRS for name in (primary_endpoint(region), reader_endpoint(region))]
    moved = [second(f"{HOME}-db")] if options.postgres and options.replicas else []
    return nodes + buses + stable + moved + [link(source, name) for source, _, name in links(options)]


def known_region(name: str) -> str:
    """Return the name. Raises UnknownName, which lists the regions."""
    if name not in REGIONS:
        raise UnknownName(f"There is no region {name!r}: choose one of {', '.join(REGIONS)}.")
    return name


def known_node(name: str, options: Options) -> str:
    """Return the name. Raises UnknownName, which lists the nodes."""
    names = [node.name for node in redis_nodes() + postgres_nodes(options)]
    if name not in names:
        raise UnknownName(f"There is no node {name!r}: choose one of {', '.join(names)}.")
    return name
