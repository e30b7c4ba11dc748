"""What is made on first use by asking servers."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from cacheops.exceptions import StoreUnavailable

T = TypeVar("T")


class FirstUse(Generic[T]):
    """Makes a thing when it is first used. Threads that come meanwhile share it, or the StoreUnavailable in its place.

    Whoever comes after a failure tries again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self.made: T | None = None
        self._make = make
        self._making = threading.Lock()
        self._failure: tuple[float, StoreUnavailable] | None = None  # when it was last tried in vain, and why

    def get(self) -> T:
        """Return it. Raise StoreUnavailable where no server answers, and what else making it raises."""
        if self.made is None:
            came_at = time.monotonic()
            with self._making:
                if self.made is None:
                    if self._failure is not None and self._failure[0] >= came_at:
                        raise StoreUnavailable(*self._failure[1].args)
                    self.made = self._try()
        return self.made

    def _try(self) -> T:
        try:
            return self._make()
        except StoreUnavailable as error:
            self._failure = (time.monotonic(), error)
            raise
