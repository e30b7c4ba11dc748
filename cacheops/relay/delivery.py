"""How far the regions that follow a database are, beside what is committed: said behind an invalidation by hand."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.template.defaultfilters import filesizeformat

from cacheops.conf import conf
from cacheops.databases import follower_name
from cacheops.exceptions import StoreError
from cacheops.regions import Region, regions
from cacheops.regions.position import Position, ask_position
from cacheops.relay.lag import told_until
from cacheops.relay.state import follower_in, regions_told

PAUSE_SECONDS = 0.05  # between two questions to a region: the way to one and back


class Delivery(NamedTuple):
    """How far a region that follows a database is, beside a position of its log."""

    region: str
    position: Position
    until: str | None  # LSN up to which it was told; None where no relay has told it
    error: str = ""

    @property
    def has_arrived(self) -> bool:
        return self.until is not None and self.until >= self.position.lsn

    def words(self) -> str:
        """Return it as a sentence."""
        if self.has_arrived:
            return f"{self.region} was told, by the log up to {self.position.lsn}."
        if self.error:
            return f"{self.region} does not answer, and its relay tells it when it does: {self.error}"
        if self.until is None:
            return f"{self.region} follows, and no relay has told it yet: it serves nothing from its cache."
        behind = filesizeformat(int(self.position.lsn, 16) - int(self.until, 16))
        return (
            f"{self.region} is {behind} of the log behind after {conf.max_lag:g} s: "
            "it serves nothing from its cache until its relay has told it."
        )


def deliveries(databases: Iterable[str]) -> Iterator[Delivery]:
    """Wait for the regions that follow these databases, within CACHEOPS_MAX_LAG; yield how far each is.

    One that is not told by then serves no entry: what vouches for its entries was sent before, and has run out (R35).
    """
    for database in databases:
        followed = [(name, alias) for name in regions_told(database) if (alias := follower_in(name, database))]
        position = ask_position(database) if followed else None
        if position is not None:
            deadline = time.monotonic() + conf.max_lag
            for name, alias in followed:
                yield _wait(regions[name], follower_name(alias, database), position, deadline)


def _wait(region: Region, replica: str, position: Position, deadline: float) -> Delivery:
    while True:
        try:
            found = Delivery(region.name, position, told_until(region, replica))
        except StoreError as error:
            return Delivery(region.name, position, None, str(error))
        if found.until is None or found.has_arrived or time.monotonic() >= deadline:
            return found
        time.sleep(PAUSE_SECONDS)
