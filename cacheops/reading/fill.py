"""The bytes of an entry: made of rows and of the versions that were leased before they were loaded, and stored."""

import logging
import time
from collections.abc import Sequence
from functools import partial

from cacheops.conf import conf
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Row
from cacheops.exceptions import ServerRefused, StoreError, StoreUnavailable, UnencodableValue
from cacheops.instrumentation.counters import counters, is_sampled
from cacheops.reading.request import Request
from cacheops.regions import Region
from cacheops.stores.base import EncodedEntry
from cacheops.ttl import jittered

logger = logging.getLogger("cacheops")


def seal(request: Request, loaded: Sequence[Row], versions: bytes, load_seconds: float) -> EncodedEntry | None:
    """Return the entry to be stored; None where the rows can't be, or are not to be."""
    ttl = jittered(request.seconds(loaded), conf.jitter)
    if ttl <= 0:
        return None
    now = time.time()
    try:
        payload = codec.encode(loaded, versions, now, now + ttl, load_seconds)
    except UnencodableValue as error:
        counters.read(request.label, unencodable=1)
        logger.warning("%s is not cached: %s", request.label, error)
        return None
    if len(payload) > conf.max_entry_bytes:
        counters.read(request.label, too_large=1)
        return None
    entry, *tags = request.key_list()
    return EncodedEntry(entry, payload, ttl, tags, versions)


def store_soon(region: Region, label: str, sealed: Sequence[EncodedEntry], loaders: Sequence[str]) -> None:
    """Store entries of one table, and let the locks of their loaders go. Nobody waits for the answer."""
    region.guard(urgent=True).send_nowait(
        partial(region.store.fill, sealed, loaders), partial(_stored, region, label, sealed)
    )


def _stored(region: Region, label: str, sealed: Sequence[EncodedEntry], outdated: int | StoreError) -> None:
    """Count what was stored; `outdated` of them were invalidated while they were loaded: nobody will read them."""
    if isinstance(outdated, StoreUnavailable):
        counters.read(label, errors=1)
    elif isinstance(outdated, StoreError):
        counters.read(label, refused_fills=len(sealed))
        if not isinstance(outdated, ServerRefused):
            logger.warning("Region %s refused a fill: %s", region.name, outdated)
    elif sealed:
        size, sampled = 0, 0
        for one in sealed:
            size += len(one.payload)
            sampled += is_sampled(one.entry.rpartition(":")[2])
        counters.read(label, fills=len(sealed), stale_fills=outdated, bytes=size, sampled_fills=sampled)
