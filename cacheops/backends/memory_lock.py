"""The lock of MemoryCache: an entry that only one can add, as the lock of a region's servers is."""

import threading
import time
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cacheops.exceptions import LockLost, LockNotAcquired

if TYPE_CHECKING:
    from cacheops.backends.memory import MemoryCache


class MemoryLock:
    """The methods and options of the Redis driver's lock. Times are in seconds."""

    def __init__(
        self,
        cache: "MemoryCache",
        key: str,
        version: int | None,
        timeout: float | None,
        sleep: float,
        blocking: bool,
        blocking_timeout: float | None,
        thread_local: bool,
    ) -> None:
        self.name = key
        self.timeout = timeout
        self._cache = cache
        self._version = version
        self._sleep = sleep
        self._blocking = blocking
        self._blocking_timeout = blocking_timeout
        self._local: Any = threading.local() if thread_local else SimpleNamespace()

    @property
    def _token(self) -> str | None:
        return getattr(self._local, "token", None)

    def acquire(self, blocking: bool | None = None, blocking_timeout: float | None = None) -> bool:
        """Return whether the lock is held now; wait for it if `blocking`."""
        blocking = self._blocking if blocking is None else blocking
        patience = self._blocking_timeout if blocking_timeout is None else blocking_timeout
        give_up_at = None if patience is None else time.monotonic() + patience
        token = uuid.uuid4().hex
        while not self._cache.add(self.name, token, self.timeout, self._version):
            if not blocking or (give_up_at is not None and time.monotonic() + self._sleep > give_up_at):
                return False
            time.sleep(self._sleep)
        self._local.token = token
        return True

    def release(self) -> None:
        """Let others have the lock. Raises LockLost when it is not this caller's (any more)."""
        token, self._local.token = self._token, None
        if token is None or not self._cache.delete_if(self.name, token, self._version):
            raise LockLost(f"Lock {self.name!r}: it is not held by this caller.")

    def extend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """Hold the lock for longer, from its end or (replace_ttl) from now. Raises LockLost as `release` does."""
        left = 0 if replace_ttl else (self._cache.pttl(self.name, self._version) or 0) / 1000
        if self._token is None or not self._cache.touch_if(
            self.name, self._token, left + additional_time, self._version
        ):
            raise LockLost(f"Lock {self.name!r}: it is not held by this caller.")
        return True

    def reacquire(self) -> bool:
        """Start the lock's time anew. Raises LockLost as `release` does."""
        if self.timeout is None:
            raise LockLost(f"Lock {self.name!r}: it has no time to start anew.")
        return self.extend(self.timeout, replace_ttl=True)

    def locked(self) -> bool:
        """Tell whether anyone holds the lock."""
        return self._cache.has_key(self.name, self._version)

    def owned(self) -> bool:
        """Tell whether this caller holds the lock."""
        return self._token is not None and self._cache.holds(self.name, self._token, self._version)

    def __enter__(self) -> "MemoryLock":
        if self.acquire():
            return self
        raise LockNotAcquired(f"Lock {self.name!r} is held by another, and the time to wait for it is over.")

    def __exit__(self, *exc_info: object) -> None:
        self.release()
