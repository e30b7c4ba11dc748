"""Commands to several servers at a time, and their answers."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from redis.client import NEVER_DECODE
from redis.exceptions import ResponseError

from cacheops.redis.errors import UNANSWERED, is_transient

Command = tuple[Any, ...]  # name, key, further arguments

RAW = {NEVER_DECODE: True}  # values are bytes, whatever decode_responses says of raw clients
PIPELINE_LIMIT = 1000  # commands a round trip: bounds memory, and how long one caller holds a server


class _Sent:
    """Commands on their way to one server. The driver's own pipeline takes twice as long for them."""

    def __init__(self, node: redis.Redis, commands: Sequence[Command]) -> None:
        self._size = len(commands)
        self._pool = node.connection_pool
        self._connection: Any = None
        self._failure: Exception | None = None
        try:
            self._connection = self._pool.get_connection()
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except UNANSWERED as error:
            self._failure = error

    def answers(self) -> list[Any]:
        """Return an answer for each command: what the server said, or the driver's error."""
        received: list[Any] = []
        while self._failure is None and len(received) < self._size:
            try:
                received.append(self._connection.read_response(disable_decoding=True))
            except UNANSWERED as error:
                self._failure = error
                self._connection.disconnect()
            except ResponseError as error:
                received.append(error)
        return received + [self._failure] * (self._size - len(received))

    def __enter__(self) -> "_Sent":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._connection is not None:
            if kind is not None:  # an answer that nobody read must not meet the next command
                self._connection.disconnect()
            self._pool.release(self._connection)


def exchange(groups: Mapping[redis.Redis, Sequence[int]], commands: Sequence[Command], answers: list[Any]) -> None:
    """Send each server its group of commands, then read all answers: the servers work at the same time."""
    with contextlib.ExitStack() as stack:
        sent = [
            (stack.enter_context(_Sent(node, [commands[index] for index in group])), group)
            for node, group in groups.items()
        ]
        for flight, group in sent:
            for index, answer in zip(group, flight.answers(), strict=True):
                answers[index] = answer


def keep_failed(waiting: list[int], answers: Sequence[Any]) -> None:
    """Leave in `waiting` what failed, and raise the driver's error if anything did: one that no retry helps first."""
    waiting[:] = [index for index in waiting if isinstance(answers[index], Exception)]
    refused = [index for index in waiting if not is_transient(answers[index])]
    for index in refused or waiting:
        raise answers[index]
