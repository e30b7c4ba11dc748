"""Recognise a server: a new connection may lead to one that was started from an older snapshot (R19, R20).

Such a server holds old entries and their old tags, which match. Its memory is believed when it names the server's own
process (`run_id`) and replication history (`master_replid`), as no older snapshot can; see docs/decisions/0014.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError, NoPermissionError, ReadOnlyError, ResponseError
from redis.utils import str_if_bytes

from cacheops.engine import Registrations, memo, register_component
from cacheops.redis.errors import refusal_in
from cacheops.redis.options import ServerOptions

Command: TypeAlias = tuple[Any, ...]

RECORD = "cacheops:identity"  # what the key of an identity record begins with; no pattern of an alias may match it
SLOTS = range(16_384)


def _source(name: str) -> str:
    folder = Path(__file__).parent / "lua"
    return "".join([(folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("identity", name)])


RECOGNISE, ACCEPT, BEGIN, END_GRACE, NOTE_REPLICAS = map(
    _source, ("recognise", "accept", "begin", "end_grace", "note_replicas")
)


class KeySet(NamedTuple):
    """Keys that count only on a recognised server. On an unknown one they are purged (R21)."""

    name: str
    pattern: str  # as SCAN takes it
    command: Callable[[bytes], Command | None]  # that purges a key, None for one that stays


class Verdict(NamedTuple):
    """What a server says of itself. `unpurged` names the sets of keys that may be older than its process."""

    role: str  # primary or replica
    run_id: str
    history: str  # its replication ID
    grace: float  # seconds for which nothing may be leased
    unpurged: tuple[str, ...]


Source: TypeAlias = Callable[[tuple[str, ...]], Iterable[KeySet]]

_sources: Registrations[Source] = register_component(Registrations())


def add_key_sets(name: str, source: Source) -> None:
    """Have `source` tell, for the addresses of servers, which keys of theirs count only on a recognised one."""
    _sources[name] = source


def key_sets(urls: tuple[str, ...]) -> dict[str, KeySet]:
    """Return the sets of keys on the servers at these addresses, by name."""
    return _key_sets(urls, tuple(_sources.values()))


@memo()
def _key_sets(urls: tuple[str, ...], sources: tuple[Source, ...]) -> dict[str, KeySet]:
    return {one.name: one for source in sources for one in source(urls)}


def record_key(slots: Sequence[range] = (SLOTS,)) -> str:
    """Return the key of the identity record of a server with these slots: the first of all keys that lies in them."""
    keys = (f"{RECORD}:{{{number}}}" for number in count())
    return next(key for key in keys if any(key_slot(key.encode()) in part for part in slots))


def slots_in(nodes: str) -> tuple[bool, list[range]]:
    """Return whether a node is a replica, and its shard's slots, from its answer to CLUSTER NODES."""
    rows = {row[0]: row for row in map(str.split, nodes.splitlines())}
    own = next(row for row in rows.values() if "myself" in row[2].split(","))
    primary = own if own[3] == "-" else rows.get(own[3], own)
    bounds = [part.split("-") for part in primary[8:] if not part.startswith("[")]  # [slot->-node]: it is moving
    return own[3] != "-", [range(int(each[0]), int(each[-1]) + 1) for each in bounds]


class Recognition:
    """Stands at the begin of each connection to one address. Raise the driver's errors where it may not be used.

    A connection that passes has an attribute `grace_until` (monotonic, in seconds), until when nothing may be leased.
    `reader` says that a replica may answer. `recover` purges and accepts an unknown server, or raises.
    """

    def __init__(
        self,
        options: ServerOptions,
        recover: Callable[[Any, str, Verdict], None],
        *,
        reader: bool = False,
    ) -> None:
        self._options = options
        self._recover = recover
        self._reader = reader

    def connect(self, connection: Any) -> None:
        """Do what the driver does with a new connection, then recognise the server: for `redis_connect_func`."""
        connection.on_connect()
        self.recognise(connection)

    def recognise(self, connection: Any) -> None:
        """Ask a server whose memory it holds. One that is unknown is purged and accepted, or not used (R21)."""
        names = list(key_sets(self._options.urls))
        if not names and self._options.tls:
            # With its answer come the session tickets of TLS 1.3, which the driver's pool would take for another's.
            run(connection, "PING")
        key = self._key_on(connection) if names else None
        if key is None:
            return
        verdict = ask(connection, key, names)
        if verdict.role == "replica":
            self._check_replica(verdict)
        elif verdict.unpurged:
            self._recover(connection, key, verdict)
            verdict = ask(connection, key, names)
            if verdict.unpurged:
                raise ConnectionError("The server was started from older data, or is new; it is being purged.")
        connection.grace_until = time.monotonic() + verdict.grace if verdict.grace else 0.0

    def _key_on(self, connection: Any) -> str | None:
        """Return the key of the server's record; None where there is nothing to ask."""
        if not self._options.cluster:
            return record_key()
        is_replica, slots = slots_in(str_if_bytes(run(connection, "CLUSTER", "NODES")))
        if not slots or (is_replica and not self._options.reads_readers):  # then it is asked for its figures only
            return None
        return record_key(slots)

    def _check_replica(self, verdict: Verdict) -> None:
        if not self._options.reads_readers:
            if not (self._reader or self._options.cluster):
                raise ReadOnlyError("The address of the primary leads to a replica.")
        elif verdict.unpurged:
            raise ConnectionError("The replica has no link to its primary, or this one is not recognised yet.")


def ask(connection: Any, key: str, names: Sequence[str]) -> Verdict:
    """Return what a server says of itself. Raise the driver's errors."""
    try:
        role, run_id, history, grace, *unpurged = run(connection, "EVAL", RECOGNISE, 1, key, *names)
    except ResponseError as error:
        raise explained(error) from error
    if not run_id:
        raise NoPermissionError("NOPERM INFO tells no run_id: data from before a restart would not be recognised.")
    texts = [str_if_bytes(text) for text in (role, run_id, history, *unpurged)]
    return Verdict(texts[0], texts[1], texts[2], int(grace) / 1000, tuple(texts[3:]))


def explained(error: ResponseError) -> ResponseError:
    """Return the error to raise for one: where a permission is missing, it says which are needed, and why."""
    if refusal_in(error) != "NOPERM":
        return error
    text = str(error).removeprefix("NOPERM ").rstrip(".")
    return NoPermissionError(
        f"NOPERM {text}: the user needs EVAL, INFO and SCAN, so that data of before a restart is recognised "
        "(docs/how-to/redis-restarts.md)."
    )


def run(connection: Any, *command: Any) -> Any:
    """Run one command on a connection of the driver's."""
    connection.send_command(*command, check_health=False)
    return connection.read_response()


def begin(node: redis.Redis, cluster: bool = False) -> bool:
    """Record that an empty server is new, so that it need not be told from one that has lost its data.

    For who made it, before anything uses it: otherwise nothing is cached on it for CACHEOPS_MARK_SECONDS. Return False
    for a server that holds keys, or is a replica.
    """
    return bool(node.eval(BEGIN, 1, record_key(slots_of(node, cluster))))


def end_grace(node: redis.Redis, cluster: bool = False) -> bool:
    """End a recognised server's grace period: its operator knows that no writer has used another server in its place.

    Connections that are open keep to it. Return False for a server that is not recognised, or is a replica.
    """
    return bool(node.eval(END_GRACE, 1, record_key(slots_of(node, cluster))))


def slots_of(node: redis.Redis, cluster: bool) -> list[range]:
    """Return the slots of a server's shard, all of them where there is one."""
    return slots_in(str_if_bytes(node.execute_command("CLUSTER", "NODES")))[1] if cluster else [SLOTS]


def note_replicas(node: redis.Redis, cluster: bool, replicas: Iterable[Mapping[str, Any]]) -> int:
    """Name its linked replicas to a primary: one that takes over is recognised (R23). Return how many are new.

    `replicas` are what replicas of any primary tell of themselves (INFO).
    """
    history = str(node.info("replication")["master_replid"])
    runs = [
        info["run_id"]
        for info in replicas
        if info.get("master_link_status") == "up" and info.get("master_replid") == history
    ]
    slots = slots_of(node, cluster)
    return int(node.eval(NOTE_REPLICAS, 1, record_key(slots), history, *runs)) if runs and slots else 0
