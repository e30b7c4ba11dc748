"""The cached read. It knows keys, tags and bytes; queries are the ORM floor's."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from cacheops.encoding.rows import Row
from cacheops.exceptions import StoreError
from cacheops.instrumentation.tracing import tracing
from cacheops.reading.load import Loader, Miss, bypass
from cacheops.reading.lookup import look_up
from cacheops.reading.request import Request, roomy
from cacheops.regions import regions
from cacheops.regions.hotkeys import usage
from cacheops.regions.switches import controls

MISSES_AHEAD = 2  # look-ups of a label that found nothing, after which the next one asks for its lease at once

Reader = Callable[[Request, Loader], Sequence[Row]]
ManyReader = Callable[[Sequence[Request], Callable[[Sequence[int]], Sequence[Sequence[Row]]]], list[Sequence[Row]]]
_reader: ContextVar[Reader | None] = ContextVar("cacheops_reader", default=None)
_many_reader: ContextVar[ManyReader | None] = ContextVar("cacheops_many_reader", default=None)


def fetch(request: Request, load: Loader, miss: "type[Miss] | None" = None) -> Sequence[Row]:
    """Return the rows of a cached read: from the local region's store, else from `load`, in the way of `miss`."""
    reader = _reader.get()
    if reader is not None:
        return reader(request, load)
    region = regions.local
    usage.left -= 1
    if usage.left < 0:
        usage.sample(region, request.tables)
    if region.full:
        request = roomy(region, request)
    if controls.hold(request.databases, request.tables):
        return bypass(request, load)
    ahead = None
    try:
        with region.guard():
            if region.misses.get(request.label, 0) >= MISSES_AHEAD:
                ahead = (miss or Miss)(region, request, load)
                ahead.begin()
            found = look_up(region, request) if tracing.start_span is None else tracing.around(look_up, region, request)
    except StoreError as error:
        return bypass(request, load, error)
    if found is None:
        region.misses[request.label] = region.misses.get(request.label, 0) + 1
        return (ahead or (miss or Miss)(region, request, load)).rows()
    region.misses.pop(request.label, None)
    if ahead is not None:
        ahead.give_up()
    return found


def many_reader() -> ManyReader | None:
    """Return who answers reads of many entries in the place of the store, if anybody."""
    return _many_reader.get()


@contextmanager
def read_by(reader: Reader, many: ManyReader | None) -> Iterator[None]:
    """Let others answer the cached reads within the block, in this thread or task: what warms entries does."""
    token, many_token = _reader.set(reader), _many_reader.set(many)
    try:
        yield
    finally:
        _reader.reset(token)
        _many_reader.reset(many_token)
