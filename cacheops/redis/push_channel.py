"""What the servers of a region tell a process by themselves: which keys were changed (CLIENT TRACKING, RESP3).

One connection to each primary, in one thread, subscribes to prefixes of keys (BCAST). On it a heartbeat asks whether
the server is still a primary; what it has changed before the heartbeat was sent has been told before its answer comes
(https://redis.io/docs/latest/develop/reference/client-side-caching/). Rules R32 and R34 of docs/design/invalidation.md.
"""

import logging
import math
import selectors
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError, RedisError

from cacheops.exceptions import StoreError
from cacheops.redis.clients import address_of
from cacheops.redis.topology import Servers

logger = logging.getLogger("cacheops")

HEARTBEAT = 0.1  # seconds between two of them
SILENCE = 2.0  # seconds without an answer, after which connections are made anew
PAUSE = 1.0  # seconds until that is tried again
RECEIVE_BYTES = 65_536
NEVER = -math.inf
NOT_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)

OnChanged = Callable[[Iterable[bytes] | None], None]


class PushChannel:
    """Tells `on_changed` which keys were changed; None where this is not known, as a connection was lost.

    All that was changed before `confirmed` (monotonic, in seconds) has been told. It stands still while a server is
    silent.
    """

    def __init__(self, servers: Servers, on_changed: OnChanged) -> None:
        self.confirmed = NEVER
        self._servers = servers
        self._on_changed = on_changed
        self._wanted: set[str] = set()  # prefixes
        self._heard: frozenset[str] = frozenset()  # prefixes that every server has accepted
        self._addresses: frozenset[str] = frozenset()  # of the servers
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def hears(self, prefix: str, key: str) -> bool:
        """Return whether changes of keys with this prefix are told, by the server of `key`; if not, they soon are.

        Raise StoreError where it is not known whose key it is.
        """
        if prefix not in self._heard:
            self._want(prefix)
            return False
        return address_of(self._servers.node_of(key)) in self._addresses

    def close(self) -> None:
        """End the thread, which closes the connections."""
        self._stop.set()

    def _want(self, prefix: str) -> None:
        with self._starting:
            self._wanted = self._wanted | {prefix}  # another thread iterates over it
            if self._thread is None and not self._stop.is_set():
                thread = threading.Thread(target=self._run, name="cacheops-push", daemon=True)
                with suppress(RuntimeError):  # the interpreter ends, and starts no threads any more
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        reason = ""
        while not self._stop.is_set():
            lines: list[_Line] = []
            try:
                nodes = self._servers.primaries()
                lines += [
                    _Line(self._servers.new_connection(node), address_of(node), self._on_changed) for node in nodes
                ]
                self._follow(lines)
            except (RedisError, StoreError, OSError) as error:
                # One line for one trouble, not one a second; none where the process ends beside its servers.
                if str(error) != reason and threading.main_thread().is_alive():
                    logger.warning("The servers tell of no changes; every read asks them: %s", error)
                reason = str(error)
                self._servers.refresh()  # another server may be the primary now
            finally:
                self._forget()
                for line in lines:
                    line.close()
            self._stop.wait(PAUSE)

    def _forget(self) -> None:
        """Make known that from now on nothing is told (R34)."""
        self.confirmed, self._heard, self._addresses = NEVER, frozenset(), frozenset()
        self._on_changed(None)

    def _follow(self, lines: "Sequence[_Line]") -> None:
        """Listen until the region has other servers, or the channel is closed. Raise where a connection is lost."""
        with selectors.DefaultSelector() as selector:
            for line in lines:
                line.open()
                selector.register(line.socket, selectors.EVENT_READ, line)
            addresses, due = frozenset(line.address for line in lines), time.monotonic()
            while not self._stop.is_set():
                for key, _ in selector.select(max(due - time.monotonic(), 0.0)):
                    key.data.receive()
                self._addresses = addresses
                self._heard = frozenset(set.intersection(*(line.heard for line in lines)))
                self.confirmed = min(line.confirmed for line in lines)
                if time.monotonic() < due:
                    continue
                due = time.monotonic() + HEARTBEAT
                if {address_of(node) for node in self._servers.primaries()} != addresses:
                    return
                for line in lines:
                    line.beat(self._wanted)


class _Line:
    """One server's connection: its answers in the order of the questions, and its pushes between them."""

    def __init__(self, driver: Any, address: str, on_changed: OnChanged) -> None:
        self.address = address
        self.confirmed = NEVER
        self.heard: set[str] = set()
        self._asked: set[str] = set()
        self._driver = driver
        self._on_changed = on_changed
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error)
        self._awaited: deque[Callable[[Any], None]] = deque()
        self._beats: deque[float] = deque()  # when heartbeats were sent that are not answered

    def open(self) -> None:
        """Connect, and speak RESP3. Raise the driver's errors."""
        self._driver.connect()
        if hasattr(self._driver, "port"):  # sentinels may have named another server by now
            self.address = f"{self._driver.host}:{self._driver.port}"
        self.socket = self._driver._sock
        self._send(("HELLO", 3), lambda answer: None)
        self.socket.settimeout(0)

    def close(self) -> None:
        self._driver.disconnect()

    def beat(self, wanted: set[str]) -> None:
        """Subscribe to what is new, and ask whether the server is a primary. Raise ConnectionError after a silence."""
        if self._beats and self._beats[0] < time.monotonic() - SILENCE:
            raise ConnectionError(f"{self.address} has not answered for {SILENCE:g} s")
        for prefix in wanted - self._asked:
            self._asked.add(prefix)
            self._send(("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", prefix), partial(self._accepted, prefix))
        self._beats.append(time.monotonic())
        self._send(("ROLE",), self._alive)

    def _accepted(self, prefix: str, answer: Any) -> None:
        self.heard.add(prefix)

    def _alive(self, role: Any) -> None:
        if role[0] not in (b"master", "master"):
            raise ConnectionError(f"{self.address} is no primary any more")
        self.confirmed = self._beats.popleft()

    def _send(self, command: tuple[Any, ...], on_answer: Callable[[Any], None]) -> None:
        self.socket.sendall(hiredis.pack_command(command))
        self._awaited.append(on_answer)

    def receive(self) -> None:
        """Take in what has come. Raise the driver's errors, OSError."""
        closed = False
        try:
            while not closed:
                data = self.socket.recv(RECEIVE_BYTES)
                closed = not data
                self._reader.feed(data)
        except NOT_YET:
            pass
        while (message := self._reader.gets()) is not False:
            if isinstance(message, hiredis.PushNotification):
                if message[0] == b"invalidate":
                    self._on_changed(message[1])
            elif isinstance(message, Exception):
                raise message
            else:
                self._awaited.popleft()(message)
        if closed:
            raise ConnectionError(f"{self.address} closed the connection")
