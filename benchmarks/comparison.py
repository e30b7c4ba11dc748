"""Interleaved rounds: each runs every operation of every peer in an order drawn anew, so that all meet one noise."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.environments import CLUSTER, PLAIN
from benchmarks.processes import PeerProcess
from benchmarks.servers import Servers

# Calls a round and peer: short, so that a burst of other work touches one round and not one peer.
CALLS = {
    "get": 200,
    "foreign key": 200,
    "list": 40,
    "select_related": 40,
    "count": 200,
    "aggregate": 100,
    "values": 100,
    "miss": 100,
    "save": 60,
    "save in atomic": 60,
    "save status": 60,
    "bulk_create": 1,
    "update one": 60,
    "update": 20,
}


@dataclass
class Timing:
    """Nanoseconds of each call, by round."""

    rounds: list[list[int]] = field(default_factory=list)
    worked: list[int] = field(default_factory=list)  # of the processor's time, all rounds
    statements: float = 0.0  # SQL, a call

    @property
    def calls(self) -> list[int]:
        return sorted(taken for one in self.rounds for taken in one)

    def median(self) -> float:
        """Return the median call in microseconds."""
        return statistics.median(self.calls) / 1000

    def p99(self) -> float:
        """Return the call that one in a hundred exceeds, in microseconds."""
        return self.calls[min(len(self.calls) - 1, int(len(self.calls) * 0.99))] / 1000

    def quiet(self) -> float:
        """Return the call that nine in ten exceed, in microseconds: other work on the machine has not disturbed it."""
        return self.calls[len(self.calls) // 10] / 1000

    def work(self) -> float:
        """Return the processor's time of the peer's process in a call that nine in ten exceed, in microseconds."""
        return sorted(self.worked)[len(self.worked) // 10] / 1000

    def ratio(self, plain: "Timing") -> float:
        """Return the median over the rounds of this round's median to that of plain Django."""
        pairs = zip(self.rounds, plain.rounds, strict=True)
        return statistics.median(statistics.median(own) / statistics.median(base) for own, base in pairs)


Timings = dict[str, dict[str, Timing]]  # operation -> peer


def compare(
    peers: Mapping[str, PeerProcess], servers: Servers, operations: Sequence[str], rounds: int, seed: int
) -> Timings:
    """Time the operations; `seed` decides the peers' order in each round."""
    rng = random.Random(seed)
    timings: Timings = {operation: {name: Timing() for name in peers} for operation in operations}
    for operation in operations:
        for name, process in peers.items():
            count = min(CALLS[operation], 30)
            timings[operation][name].statements = process.ask("warm", operation=operation, count=count)["statements"]
            clean(operation, process)
    for number in range(rounds):
        for operation in operations:
            order = list(peers)
            rng.shuffle(order)
            for name in order:
                if operation == "miss":
                    empty(peers[name], servers)
                answer = peers[name].ask("run", operation=operation, count=CALLS[operation])
                timings[operation][name].rounds.append(answer["taken"])
                timings[operation][name].worked += answer["worked"]
                if operation == "miss":
                    peers[name].ask("prepare")
                clean(operation, peers[name])
        print(f"round {number + 1} of {rounds}", flush=True)
    return timings


def empty(process: PeerProcess, servers: Servers) -> None:
    """Empty the peer's cache."""
    if process.peer == CLUSTER:
        process.ask("empty_region")
    elif process.peer != PLAIN:
        servers.empty(process.peer.database)


def clean(operation: str, process: PeerProcess) -> None:
    if operation == "bulk_create":
        process.ask("clean")
