"""The cached read of a result that is taken in parts (`QuerySet.iterator()`): it is filled when its end is reached."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Row
from cacheops.exceptions import UnencodableValue
from cacheops.reading.fetch import seek
from cacheops.reading.lease import Lease, note_unencodable
from cacheops.reading.reader import current_reader
from cacheops.reading.request import Request, followed_in

Part = Sequence[Row]


def fetch_parts(request: Request, load: Callable[[], Iterable[Part]]) -> Iterable[Part]:
    """Return a result in parts: all of it at once from the store, otherwise what `load` returns, as it comes.

    No other reader waits for this one: how long it takes from one part to the next is not known.
    """
    if conf.followers and followed_in(request.databases):
        return load()  # how much the replica must show to its end is not known
    reader = current_reader()
    if reader is not None:
        return [reader.read(request, lambda: [row for part in load() for row in part])]
    found = seek(request, lock=False)
    if isinstance(found, Lease):
        started = time.perf_counter()
        loaded = load()
        parts = _filling(found, iter(loaded), time.perf_counter() - started)
        return list(parts) if isinstance(loaded, list) else parts  # a database that sends all at once
    return load() if found is None else [found]


def _filling(lease: Lease, parts: Iterator[Part], seconds: float) -> Iterator[Part]:
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
                note_unencodable(lease.request.label, error)
                room = -1
        yield part
    if room >= 0:
        lease.fill([row for data in kept for row in codec.decode(data).rows()], seconds)
