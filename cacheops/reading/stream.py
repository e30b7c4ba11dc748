"""The cached read of a result that is taken in parts (`QuerySet.iterator()`): it is filled when its end is reached."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Row
from cacheops.exceptions import UnencodableValue
from cacheops.instrumentation.counters import counters
from cacheops.reading.fetch import fetch
from cacheops.reading.load import Miss
from cacheops.reading.request import Request
from cacheops.stores.base import Refusal

logger = logging.getLogger("cacheops")

Part = Sequence[Row]


def fetch_parts(request: Request, load: Callable[[], Iterable[Part]]) -> Iterable[Part]:
    """Return a result in parts: all of it at once from the store, else what `load` returns, as it comes."""
    found = fetch(request, lambda: _Parts(load()), _StreamedMiss)
    return found.parts if isinstance(found, _Parts) else [found]


class _Parts(list[Row]):
    """Stands for rows that are not there yet."""

    def __init__(self, parts: Iterable[Part]) -> None:
        super().__init__()
        self.parts = parts


class _StreamedMiss(Miss):
    """Nobody waits for this loader: how long its reader takes from one part to the next is not known."""

    def _lease_once(self) -> bytes | Refusal:
        return self.store.lease(self.request.tables, self.request.loader, self.request.profile.timeout, 0.0).result()

    def _load_and_fill(self, versions: bytes | Refusal) -> Sequence[Row]:
        started = time.perf_counter()
        loaded = self.load()
        assert isinstance(loaded, _Parts)
        return _Parts(self._kept(iter(loaded.parts), versions, time.perf_counter() - started))

    def _kept(self, parts: Iterator[Part], versions: bytes | Refusal, seconds: float) -> Iterator[Part]:
        """Pass the parts on; keep them, encoded, as long as they are not too many. (The reader may change its rows.)"""
        kept: list[bytes] = []
        room = conf.max_entry_bytes
        while True:
            started = time.perf_counter()
            part = next(parts, None)
            seconds += time.perf_counter() - started
            if part is None:
                break
            if room >= 0:
                try:
                    kept.append(codec.encode(part, b"", 0.0, 0.0, 0.0))
                    room -= len(kept[-1])
                except UnencodableValue as error:
                    logger.warning("%s is not cached: %s", self.request.label, error)
                    counters.read(self.request.label, unencodable=1)
                    room = -1
            yield part
        if room >= 0:
            self._fill([row for data in kept for row in codec.decode(data).rows()], versions, seconds)

    def _release(self) -> None:
        """There is no lock to let go."""
