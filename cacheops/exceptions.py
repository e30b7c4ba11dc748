"""The errors of cacheops. Catch CacheopsError for all of them, a branch for what you can handle.

CacheopsError
├── StoreError              a region's servers did not do what was asked
│   ├── StoreUnavailable    no answer: refused, cut, timed out, failing over, no free connection
│   └── CommandRefused      an answer that says no: wrong type, wrong arguments
│       └── ServerRefused   to whoever asks: out of memory, disk full, no permission, too few replicas
│           └── Unconfirmed     fewer replicas than CACHEOPS_WAIT_REPLICAS says have what was written
├── LockError               a lock was asked for in vain
│   ├── LockNotAcquired     someone else holds it, and the time to wait is over
│   └── LockLost            released or extended by one who does not hold it (any more)
├── EntryError              a cache entry can't be written or read
│   ├── CorruptEntry        bytes that are no entry of ours: a miss, counted
│   └── UnencodableValue    a value that would not come back equal: the result is not cached
├── CacheMiss               a key holds no value (for projects that come from django-cacheops); also a KeyError
├── NotInMemory             a cache in memory has no such command; also an AttributeError
├── InvalidKey              a key that no cache can take, or a value that makes none; also a ValueError
├── WriteBehindError        a write that was to be buffered was not
│   ├── NotBuffered         the database is written instead
│   │   ├── NotReplicated   its replicas did not confirm in time: a fail-over could lose it
│   │   └── NoWorker        no flush_writes runs that would take it
│   └── BufferFull          too many writes wait for the database: send it again later
├── InvalidationRefused     the write was not committed, because a region could not be told of it (`strict`)
├── RelayRefused            a relay can't work on this database, or in this region; the message says what to do
├── RelayInterrupted        a relay must begin anew, as what the log sends is not known to be all
├── PublishFailed           a service did not take the figures that were published to it
└── InvalidOption           a setting that cannot work; also Django's ImproperlyConfigured
"""

from django.core.exceptions import ImproperlyConfigured


class CacheopsError(Exception):
    """Base of every error that cacheops raises by itself."""


class StoreError(CacheopsError):
    """A region's servers did not do what was asked."""


class StoreUnavailable(StoreError):
    """The servers did not answer in time. Trying later may help; nothing is wrong with the request."""


class CommandRefused(StoreError):
    """The server answered with an error. Trying again does not help: see its text."""


class ServerRefused(CommandRefused):
    """The server refuses such commands, whoever sends them, until an operator has done something.

    `kind` is the word that the answer began with: OOM, MISCONF, NOREPLICAS, NOPERM, ...; or UNCONFIRMED.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Unconfirmed(ServerRefused):
    """Fewer replicas than CACHEOPS_WAIT_REPLICAS says confirmed in time what was written: it does not count (R10)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "UNCONFIRMED")


class LockError(CacheopsError):
    """A lock was asked for in vain."""


class LockNotAcquired(LockError):
    """Another holder kept the lock for longer than this caller was ready to wait."""


class LockLost(LockError):
    """The lock is not held by this caller: never acquired, released already, or expired and taken by another."""


class InvalidOption(CacheopsError, ImproperlyConfigured):
    """A CACHES option that cannot work; the message names it and says what to write instead."""


class RelayRefused(CacheopsError):
    """A relay can't work here; the message says why, and what to do."""


class RelayInterrupted(CacheopsError):
    """A relay must begin anew: what the log sends is not known to be all."""


class EntryError(CacheopsError):
    """A cache entry can't be written or read."""


class CorruptEntry(EntryError):
    """The bytes are no entry of this format, or were changed on their way. Readers treat it as a miss."""


class UnencodableValue(EntryError):
    """A value that the entry format can't hold without loss; the result is returned, but not cached."""


class PublishFailed(CacheopsError):
    """A service did not take the figures that were published to it: they are part of the next period's."""


class InvalidationRefused(CacheopsError):
    """A region could not be told of a write, and the setting is `strict`: the transaction was rolled back."""


class InvalidKey(CacheopsError, ValueError):
    """A key that is no text, too long, or holds what a key can't; or a cached function's argument that makes none.

    The message says what to write instead.
    """


class CacheMiss(CacheopsError, KeyError):
    """A key holds no value."""


class NotInMemory(CacheopsError, AttributeError):
    """A cache in memory has no such command of Redis; the message says what to use."""


class WriteBehindError(CacheopsError):
    """A write that was to be buffered was not."""


class NotBuffered(WriteBehindError):
    """The buffer did not take a write, so the database is written instead; the message says why."""


class NotReplicated(NotBuffered):
    """The replicas did not confirm a write in time. It may be in the buffer all the same."""


class NoWorker(NotBuffered):
    """No worker has come lately that would bring the buffer's writes to the database."""


class BufferFull(WriteBehindError):
    """As many writes wait for the database as the buffer may hold. Send it again after `retry_after` seconds."""

    retry_after = 5  # workers that keep up empty a full buffer in less; those that do not need the pause


def shortened(value: object) -> str:
    text = repr(value[:60]) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= 62 else f"{text[:60]}…"
