"""One connection to a Redis server on the supervisor's loop: it pipelines, and it can leave a command for later."""

import asyncio
import collections
import ssl
import time
from typing import Any, cast

import hiredis

from xyzsite.localregions.plan import HOST

CONNECT_SECONDS = 1.0


class RedisLink(asyncio.Protocol):
    """Commands are answered in order; `heard_at` is when the last answer came, on the monotonic clock."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace")
        self._waiting: collections.deque[asyncio.Future[Any]] = collections.deque()
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.get_running_loop().create_future()
        self.heard_at = time.monotonic()

    @classmethod
    async def connect(cls, port: int, password: str, tls: ssl.SSLContext | None) -> "RedisLink":
        """Connect and sign in. Raises OSError, TimeoutError, or hiredis.ReplyError when the server refuses."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, link = await loop.create_connection(cls, HOST, port, ssl=tls)
            try:
                if password:
                    await link.call("AUTH", password)
            except BaseException:
                link.close()
                raise
        return link

    @property
    def waiting(self) -> bool:
        """Whether a command has no answer yet."""
        return bool(self._waiting)

    @property
    def open(self) -> bool:
        return not self.lost.done()

    def call(self, *command: str | int) -> "asyncio.Future[Any]":
        """Send a command at once; the future gives its answer or raises hiredis.ReplyError, ConnectionError.

        It need not be awaited: a server that is stopped finds the command when it goes on.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_seen)
        if self._transport is None or not self.open:
            answer.set_exception(ConnectionResetError("the connection is closed"))
            return answer
        self._waiting.append(answer)
        packed: Any = command  # hiredis' stub knows tuples of one part only
        self._transport.write(hiredis.pack_command(packed))
        return answer

    async def ask(self, *command: str | int, seconds: float = 1.0) -> Any:
        """Send a command and return its answer. Raises as `call`, and TimeoutError."""
        return await asyncio.wait_for(asyncio.shield(self.call(*command)), seconds)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            answer = self._waiting.popleft()
            if answer.done():
                continue
            if isinstance(reply, hiredis.ReplyError):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(ConnectionResetError("the server closed the connection"))


def _seen(answer: "asyncio.Future[Any]") -> None:
    """Mark a failure as seen, so that asyncio does not report commands that are not awaited."""
    if not answer.cancelled():
        answer.exception()
