"""The worker of write-behind: takes what is due from a buffer, writes it, and says that it is done, in this order.

So a write is lost nowhere: a worker that dies in between leaves it in the stream, and it is given to another. It may be
written twice, which the writer makes harmless.
"""

import logging
import os
import secrets
import socket
from collections.abc import Sequence
from typing import Any

from django.db import InterfaceError, OperationalError

from cacheops.conf import conf
from cacheops.patterns.write_behind.buffer import Taken
from cacheops.patterns.write_behind.cache import WriteBehindCache, dead_letters
from cacheops.regions.database_away import is_away

logger = logging.getLogger("cacheops")

CRASHES = 2  # times flush_attempts: an item that was given out so often without an answer kills its workers


class Flusher:
    """Brings one buffer's writes to the database, as one worker of many."""

    def __init__(self, cache: WriteBehindCache[Any, Any], worker: str = "") -> None:
        self.cache = cache
        self.worker = worker or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def flush_due(self) -> int:
        """Write a batch if one is due; return how many writes were taken, 0 when there was nothing to do.

        Raise StoreError where the region does not do its part, a database's error where that is away or busy: the batch
        is then given out again.
        """
        return self._flush(conf.flush_seconds, conf.flush_retry_seconds)

    def flush_all(self) -> int:
        """Write everything, also what is not due, and what other workers have; return how many were taken."""
        total = 0
        while taken := self._flush(0.0, 0.0):
            total += taken
        return total

    def leave(self) -> None:
        """Say that this worker ends."""
        self.cache.buffer.leave(self.worker)

    def _flush(self, age: float, retry: float) -> int:
        taken = self.cache.buffer.take(self.worker, conf.flush_batch, age, retry)
        batch = []
        for one in taken:
            if one.deliveries > CRASHES * conf.flush_attempts:
                self._bury(one, "It was given out too often without an answer: it seems to end its workers.")
            elif one.deliveries > conf.flush_attempts:
                self._write([one])  # alone, so that what it does to its worker is done to nothing else
            else:
                batch.append(one)
        self._write(batch)
        return len(taken)

    def _write(self, batch: Sequence[Taken]) -> None:
        """Write a batch; where it is refused, halve it until the bad item stands alone."""
        if not batch:
            return
        try:
            self.cache.writer([self.cache.decode(one.payload) for one in batch])
        except self.cache.refusals as error:
            if isinstance(error, OperationalError | InterfaceError) or is_away(error):  # no item is to blame
                self.cache.buffer.give_back(self.worker, batch)
                raise
            if len(batch) == 1:
                self._refused(batch[0], error)
                return
            middle = len(batch) // 2
            self._write(batch[:middle])
            self._write(batch[middle:])
        else:
            self.cache.buffer.done([one.id for one in batch])

    def _refused(self, one: Taken, error: Exception) -> None:
        """Leave a bad item to be tried again, or bury it."""
        reason = f"{type(error).__name__}: {error}"
        if one.deliveries >= conf.flush_attempts:
            self._bury(one, reason)
        else:
            logger.warning(
                "%s %s was refused, attempt %d of %d: %s",
                self.cache.name,
                one.id,
                one.deliveries,
                conf.flush_attempts,
                reason,
            )

    def _bury(self, one: Taken, reason: str) -> None:
        logger.error("%s %s is a dead letter now: %s", self.cache.name, one.id, reason)
        dead_letters().get_or_create(
            buffer=self.cache.name,
            region=conf.local_region,
            entry=one.id,
            defaults={
                "payload": storable(one.payload.decode(errors="backslashreplace")),
                "reason": storable(reason),
                "attempts": one.deliveries,
            },
        )
        self.cache.buffer.done([one.id])


def storable(text: str) -> str:
    """Return a text without NUL, which PostgreSQL does not store."""
    return text.replace("\0", "\\0")
