"""What a test asks of the cache: a query's SQL, whether a cached answer is the database's, which keys a store holds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.test.utils import CaptureQueriesContext

from cacheops.conf import conf
from cacheops.protocol.keys import parse
from cacheops.reading.options import bypassed
from cacheops.stores.base import Store
from tests.testapp.compare import plain

OWN = "cacheops_queuedinvalidation"  # the engine looks into its queue once a second


@contextmanager
def statements(database: str) -> Iterator[list[str]]:
    """Collect the statements that the block runs, but for those of the engine itself."""
    found: list[str] = []
    with CaptureQueriesContext(connections[database]) as captured:
        yield found
    found += [query["sql"] for query in captured.captured_queries if OWN not in query["sql"]]


def from_database(read: Callable[[], Any]) -> Any:
    """Return what a read gives past the cache, as plain values."""
    with bypassed():
        return plain(read())


def is_hit(database: str, read: Callable[[], Any]) -> bool:
    """Run a read; say whether it was answered without the database."""
    with statements(database) as ran:
        read()
    return not ran


def keys_held(store: Store, *kinds: str) -> list[str]:
    """Return the keys of some kinds under this process's prefix."""
    parsed = ((key, parse(key)) for batch in store.scan(f"{conf.prefix}:") for key in batch)
    return [key for key, parts in parsed if parts and parts.kind in kinds]
