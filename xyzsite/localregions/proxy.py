"""Stable addresses and links between regions: TCP passed on to where a target is now, or stalled by a partition."""

import asyncio
import random
from collections import deque
from typing import cast

from xyzsite.localregions.distance import Distance
from xyzsite.localregions.plan import HOST

# Bytes that may be under way in one direction of one connection; then its sender waits. 4 MiB at 62 ms are 130 MB/s.
WINDOW = 4 * 2**20

# While a primary is replaced its clients wait so long, in seconds, before they are turned away.
HOLD_SECONDS = 1.0


class Target:
    """Where endpoints pass connections on to: a port, or None while there is no such server."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port
        self.pipes: set[Pipe] = set()
        self._changed = asyncio.Event()

    def move(self, port: int | None) -> None:
        """Point to another server and cut what is connected to the old one; who waits for a server goes on to it."""
        if port == self.port:
            return
        self.port = port
        self._changed.set()
        self._changed = asyncio.Event()
        for pipe in list(self.pipes):
            if pipe.port is not None:
                pipe.cut()

    async def wait(self) -> int | None:
        """Return the port, waiting a moment for one."""
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                while self.port is None:
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self.port


class Endpoint:
    """A listening port before a target. Stalled, it takes connections and bytes and passes nothing on.

    What it passes on arrives after the way that its `distance` gives it.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.stalled = False
        self.distance = Distance()
        self.pipes: set[Pipe] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Pipe(self).client, HOST, port, backlog=512)

    def stall(self, stalled: bool) -> None:
        """Drop all packets from now on, or let them pass again."""
        self.stalled = stalled
        for pipe in list(self.pipes):
            pipe.stall_changed()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for pipe in list(self.pipes):
            pipe.close()


class Half(asyncio.Protocol):
    """One end of a pipe."""

    def __init__(self, pipe: "Pipe") -> None:
        self.pipe = pipe
        self.other: Half | None = None
        self.transport: asyncio.Transport | None = None
        self.choked = False  # the other end takes no more bytes for now
        self._early = b""  # what came before the other end was there
        self._under_way: deque[tuple[float, bytes | None]] = deque()  # when it arrives, and what: None is the end
        self._bytes_under_way = 0
        self._arrival: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.pipe.made(self)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
            self.flow()  # no more than this one read is kept
        else:
            self._send(data)

    def _send(self, data: bytes | None) -> None:
        """Pass data on after its way, in order; None closes both connections then."""
        now = asyncio.get_running_loop().time()
        due = now + self.pipe.endpoint.distance.way(random.random)
        self._under_way.append((due, data))
        self._bytes_under_way += len(data or b"")
        if due <= now and self._arrival is None:
            self._arrive()
        else:
            self._expect()
            self.flow()

    def _expect(self) -> None:
        if self._arrival is None and self._under_way and not self.pipe.endpoint.stalled:
            self._arrival = asyncio.get_running_loop().call_at(self._under_way[0][0], self._arrive)

    def _arrive(self) -> None:
        self._arrival = None
        now = asyncio.get_running_loop().time()
        while self._under_way and self._under_way[0][0] <= now and not self.pipe.endpoint.stalled:
            data = self._under_way.popleft()[1]
            if data is None or self.other is None:
                self.pipe.close()
                return
            self._bytes_under_way -= len(data)
            self.other.write(data)
        self._expect()
        self.flow()

    def drop(self) -> None:
        """Forget what is under way."""
        self._under_way.clear()
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is None or self.pipe.is_closed:
            self.pipe.close()
        else:
            self._send(None)

    def pause_writing(self) -> None:
        self._choke(True)

    def resume_writing(self) -> None:
        self._choke(False)

    def _choke(self, choked: bool) -> None:
        if self.other is not None:
            self.other.choked = choked
            self.other.flow()

    def flow(self) -> None:
        """Read, or leave what comes in the system's buffer.

        Not for connection_made: before Python 3.11.7 asyncio reads on after a pause there, and then heeds no other.
        """
        self._expect()  # after a partition
        if self.transport is None or self.transport.is_closing():
            return
        if self.choked or self.other is None or self.pipe.endpoint.stalled or self._bytes_under_way >= WINDOW:
            self.transport.pause_reading()
            return
        self.transport.resume_reading()
        early, self._early = self._early, b""
        if early:
            self._send(early)  # last, since it may choke this half


class Pipe:
    """A client's connection and ours to the server, joined."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.client = Half(self)
        self.server = Half(self)
        self.port: int | None = None  # of the server, as soon as there is one to connect to
        self._close_on_heal = False
        self.is_closed = False
        self._joining: asyncio.Task[None] | None = None

    def made(self, half: Half) -> None:
        """Take a new connection: what the client's sends is held until the server's is there."""
        if half is self.client:
            self.endpoint.pipes.add(self)
            self.endpoint.target.pipes.add(self)
            self._join()

    def _join(self) -> None:
        if self._joining is None and not self.endpoint.stalled:
            self._joining = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        self.port = await self.endpoint.target.wait()
        await asyncio.sleep(self.endpoint.distance.round_trip)  # of the handshake
        try:
            if self.port is None:
                raise ConnectionRefusedError
            await asyncio.get_running_loop().create_connection(lambda: self.server, HOST, self.port)
        except OSError:
            self.cut()
            return
        if self.is_closed:  # meanwhile
            self.cut()
            return
        self.server.other, self.client.other = self.client, self.server
        self.client.flow()
        self.server.flow()

    def stall_changed(self) -> None:
        if self._close_on_heal and not self.endpoint.stalled:
            self.cut()
            return
        self.client.flow()
        self.server.flow()
        self._join()

    def cut(self) -> None:
        """Break both connections, or as soon as the partition heals: no packet passes it, not even a reset."""
        if self.endpoint.stalled and not self.is_closed:
            self._close_on_heal = True
            return
        self._leave()
        for half in (self.client, self.server):
            if half.transport is not None:
                half.transport.abort()

    def close(self) -> None:
        """Close both connections after what was received is passed on."""
        self._leave()
        for half in (self.client, self.server):
            if half.transport is not None:
                half.transport.close()

    def _leave(self) -> None:
        self.is_closed = True
        self.endpoint.pipes.discard(self)
        self.endpoint.target.pipes.discard(self)
        self.client.drop()
        self.server.drop()
