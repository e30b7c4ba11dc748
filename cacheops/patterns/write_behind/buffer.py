"""A buffer of writes that are acknowledged and not in the database yet: what write-behind asks of a store."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple


class Taken(NamedTuple):
    """One buffered write, given to a worker; it is given out again unless the worker says that it is done."""

    id: str
    payload: bytes
    deliveries: int  # how often it was given out, this time included


class Newest(NamedTuple):
    """A buffered write that is the newest of its name so far. Orders compare as text."""

    name: str
    order: str
    payload: bytes


class BufferStats(NamedTuple):
    """How much a buffer holds. Ages are in seconds, by the server's clock."""

    depth: int = 0  # writes that are acknowledged and not done
    oldest: float = 0.0  # age of the oldest of them; 0 where there is none
    taken: int = 0  # of them, how many workers have
    workers: int = 0  # that were seen within WORKER_SECONDS


class Buffer(ABC):
    """Methods raise StoreUnavailable when there is no answer, CommandRefused when the answer is no."""

    @abstractmethod
    def problem(self) -> str:
        """Say why nothing may be buffered here now; "" where it may."""

    @abstractmethod
    def append(self, payloads: Sequence[bytes], bound: int, newest: Sequence[Newest] = (), keep: float = 60) -> None:
        """Add writes, all or none; return when a replica has them too.

        Of each name in `newest`, the one with the highest order is kept for `keep` seconds. Raise BufferFull where
        there would be more than `bound`, NoWorker where no worker would take them, NotReplicated where the replicas did
        not confirm in time: the writes may be in the buffer all the same.
        """

    @abstractmethod
    def newest(self, name: str) -> bytes | None:
        """Return the newest write of a name; None where there was none lately."""

    @abstractmethod
    def newest_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Return what `newest` does for each name, in one round trip."""

    @abstractmethod
    def take(self, worker: str, count: int, age: float, retry: float) -> list[Taken]:
        """Give a worker up to `count` writes: those to be tried again, else new ones; else none.

        New ones are given once there are `count`, or the oldest is `age` seconds old. A write that is not done is given
        again after `retry` seconds, then after twice as many, and so on.
        """

    @abstractmethod
    def done(self, ids: Sequence[str]) -> None:
        """Forget writes that are in the database."""

    @abstractmethod
    def give_back(self, worker: str, taken: Sequence[Taken]) -> None:
        """Have writes given out again as if this time had not been: no attempt was made, the database was away."""

    @abstractmethod
    def leave(self, worker: str) -> None:
        """Forget a worker that ends, and those that have long been gone. What they have not done stays."""

    @abstractmethod
    def stats(self) -> BufferStats:
        """Return how much there is."""


class NoBuffer(Buffer):
    """Stands for a buffer where there can be none: a process's memory is gone with the process."""

    def problem(self) -> str:
        return "the region's cache is in this process's memory, which a crash empties"

    def append(self, payloads: Sequence[bytes], bound: int, newest: Sequence[Newest] = (), keep: float = 60) -> None:
        raise NotImplementedError("Nothing can be buffered here: ask problem() first.")

    def newest(self, name: str) -> bytes | None:
        return None

    def newest_many(self, names: Sequence[str]) -> list[bytes | None]:
        return [None] * len(names)

    def take(self, worker: str, count: int, age: float, retry: float) -> list[Taken]:
        return []

    def done(self, ids: Sequence[str]) -> None:
        """There is nothing to forget."""

    def give_back(self, worker: str, taken: Sequence[Taken]) -> None:
        """There is nothing to give back."""

    def leave(self, worker: str) -> None:
        """There is nothing to forget."""

    def stats(self) -> BufferStats:
        return BufferStats()
