"""The processes of a region, as each reports once a minute: breakers and connections, towards every region."""

from dataclasses import dataclass, fields
from typing import Self

from cacheops.instrumentation.counters import Counts
from cacheops.monitoring.stats import periods_of, read_sums
from cacheops.regions import regions
from cacheops.stores.circuit_breaker import CircuitState

MINUTES = 2  # read: in the current one, some processes have not reported yet


@dataclass(frozen=True, slots=True)
class Fleet:
    """All processes of a region towards another region, or the same, as they reported within a minute.

    The pools are those of the region's Django cache, of all servers together. The engine does not use them: each of its
    threads has a connection of its own to each server that it has used.
    """

    processes: int = 0  # that reported: those that have counted anything since they began
    open: int = 0  # of them, those whose breaker does not let them ask the region
    pool_limit: int = 0  # connections that the pools may open
    pool_idle: int = 0
    pool_in_use: int = 0  # when it was reported
    lines: int = 0  # open connections of the engine

    @property
    def state(self) -> str:
        """closed, open, or partly open."""
        return "closed" if not self.open else "open" if self.open >= self.processes else "partly open"

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @classmethod
    def of(cls, counts: Counts) -> Self:
        return cls(*(counts.get(each.name, 0) for each in fields(cls)))


def fleet_state(region: str) -> dict[str, Fleet]:
    """Return the last reports of a region's processes, by the region that they are about; nothing without a report.

    Those of this minute, once as many have reported as in the minute before; until then, the latter.
    Raise StoreUnavailable where the region does not answer.
    """
    found: dict[str, Fleet] = {}
    for sums in read_sums(region, periods_of(MINUTES, 0)):  # oldest first
        for series, counts in sums.items():
            if series.startswith("p|"):
                now, before = Fleet.of(counts), found.get(series[2:], Fleet())
                found[series[2:]] = now if now.processes >= before.processes else before
    return found


def own_breakers() -> dict[str, CircuitState]:
    """Return the states of this process's circuits, by region."""
    return {region.name: region.breaker.state for region in regions}
