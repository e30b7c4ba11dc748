"""What a reader asks the cache for."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from django.db.models import Model

from cacheops.conf import conf
from cacheops.encoding.rows import Row
from cacheops.engine import memo
from cacheops.profiles import Profile
from cacheops.protocol.keys import TableKeys
from cacheops.protocol.tags import WHOLE_TABLE
from cacheops.regions import Region
from cacheops.stores.base import TableTags


@memo(4096)
def label_of(model: type[Model], operation: str) -> str:
    """Return the name under which reads of a model by an operation are counted, which is part of their digests, too."""
    return f"{model._meta.label_lower}:{operation}"


class Request(NamedTuple):
    """What a reader asks for: an entry's digest, and the tables and tags that it depends on; the first holds it."""

    digest: str
    tables: tuple[TableTags, ...]
    profile: Profile
    label: str  # model and operation, for the counters
    databases: tuple[str, ...] = ()  # whose rows the result is made of: their queues count
    life: Callable[[Sequence[Row]], float] | None = None  # seconds that a result is kept; None: the profile's timeout
    columns: int | None = None  # that each row must have; None: any

    @property
    def keys(self) -> TableKeys:
        return self.tables[0].keys

    @property
    def entry(self) -> str:
        """Return the entry's key."""
        return self.keys.entry(self.digest)

    @property
    def loader(self) -> str:
        """Return the key of the lock that its loader holds."""
        return self.keys.loader(self.digest)

    def key_list(self) -> list[str]:
        """Return the entry's key and the keys of all that it depends on."""
        tables = self.tables
        found = [tables[0].keys.entry(self.digest)]
        for table in tables:
            found += table.key_list()
        return found

    def seconds(self, loaded: Sequence[Row]) -> float:
        """Return how long a result is kept: 0 for not at all."""
        return self.profile.timeout if self.life is None else self.life(loaded)

    def coarse(self) -> "Request":
        """Return the same request, depending on whole tables."""
        tables = tuple(TableTags(table.keys, (WHOLE_TABLE,), (WHOLE_TABLE,)) for table in self.tables)
        return self._replace(tables=tables)


def coarsen_if_full(region: Region, request: Request) -> Request:
    """Return the request as a region takes it: of whole tables where one has no room for its schemes."""
    return request.coarse() if region.full and region.is_full(request.tables) else request


def coarsen_all_if_full(region: Region, requests: Sequence[Request]) -> Sequence[Request]:
    """Return requests as a region takes them."""
    return [coarsen_if_full(region, request) for request in requests] if region.full else requests


def followed_in(databases: Iterable[str]) -> str | None:
    """Return which of these databases is a follower, None for none."""
    return next((alias for alias in databases if alias in conf.followers), None) if conf.followers else None


def databases_of(requests: Iterable[Request]) -> tuple[str, ...]:
    return tuple({name for names in {request.databases for request in requests} for name in names})
