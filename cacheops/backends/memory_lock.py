"""The lock of MemoryCache: a `threading.Lock` with the methods of the Redis driver's lock."""

import threading

from cacheops.exceptions import LockLost, LockNotAcquired


class MemoryLock:
    """A hold on a lock of this process. `blocking_timeout` is in seconds, None: wait for as long as it takes.

    It is held until it is released: a holder that dies takes the process, and so the lock, with it.
    """

    def __init__(
        self, name: str, lock: threading.Lock, blocking: bool, blocking_timeout: float | None, thread_local: bool
    ) -> None:
        self.name = name
        self._lock = lock
        self._blocking = blocking
        self._blocking_timeout = blocking_timeout
        self._thread_local = thread_local  # only the thread that has acquired it may release it
        self._owner: int | None = None

    def acquire(self, blocking: bool | None = None, blocking_timeout: float | None = None) -> bool:
        """Return whether the lock is held now; wait for it if `blocking`."""
        blocking = self._blocking if blocking is None else blocking
        timeout = self._blocking_timeout if blocking_timeout is None else blocking_timeout
        acquired = self._lock.acquire(blocking, timeout if blocking and timeout is not None else -1)
        if acquired:
            self._owner = threading.get_ident()
        return acquired

    def release(self) -> None:
        """Let others have the lock. Raise LockLost if this caller does not hold it."""
        self._check_owned()
        self._owner = None
        self._lock.release()

    def extend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """Return True, as the lock does not expire. Raise LockLost if this caller does not hold it."""
        self._check_owned()
        return True

    def reacquire(self) -> bool:
        """Do what `extend` does."""
        self._check_owned()
        return True

    def locked(self) -> bool:
        """Return whether anyone holds the lock."""
        return self._lock.locked()

    def owned(self) -> bool:
        """Return whether this caller holds the lock."""
        return self._owner is not None and (not self._thread_local or self._owner == threading.get_ident())

    def _check_owned(self) -> None:
        if not self.owned():
            raise LockLost(f"Lock {self.name!r}: it is not held by this caller.")

    def __enter__(self) -> "MemoryLock":
        if self.acquire():
            return self
        raise LockNotAcquired(f"Lock {self.name!r} is held by another, and the time to wait for it is over.")

    def __exit__(self, *exc_info: object) -> None:
        self.release()
