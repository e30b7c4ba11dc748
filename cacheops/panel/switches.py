"""Telling all processes: pauses of a model's caching, and circuits to be closed (regions/switches.py hears)."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, models
from django.utils import timezone

from cacheops.invalidation import primary_databases
from cacheops.models import Control
from cacheops.monitoring.stats import model_label
from cacheops.reading.options import bypassed
from cacheops.regions.direct_sql import has_table
from cacheops.regions.switches import PAUSE, RESET, TABLE, close_circuit, switches

logger = logging.getLogger("cacheops")

RESET_SECONDS = 60  # for which a word to close a circuit stands: every process that reads has looked by then
MAX_PAUSES = 100  # shown


@dataclass(frozen=True, slots=True)
class Pause:
    """One model's caching is paused, until a moment."""

    model: str
    table: str
    until: datetime
    by: str
    reason: str


def databases() -> list[str]:
    """Return the databases in which switches are set: a replica that is followed shows those of its primary.

    One that does not answer is left out: it serves no reads either.
    """
    found = []
    for alias in primary_databases():
        try:
            if has_table(alias, TABLE):
                found.append(alias)
        except DatabaseError as error:
            logger.warning("The database %s does not answer the panel: %s", alias, error)
    return found


def pause(model: type[models.Model], seconds: float, by: str, reason: str = "") -> datetime:
    """Have every process read a model past the cache for some time; return when it ends. Another pause is replaced."""
    table = table_of(model)
    until = timezone.now() + timedelta(seconds=seconds)
    for database in databases():
        Control.objects.using(database).filter(kind=PAUSE, subject=table).delete()
        Control.objects.using(database).create(kind=PAUSE, subject=table, until=until, by=by, reason=reason)
    switches.recheck()
    return until


def resume(model: type[models.Model]) -> bool:
    """End a model's pause; return whether there was one."""
    ended = 0
    for database in databases():
        ended += Control.objects.using(database).filter(kind=PAUSE, subject=table_of(model)).delete()[0]
    switches.recheck()
    return ended > 0


def reset_breaker(region: str, by: str) -> bool:
    """Close this process's circuit of a region now, and every other process's at its next look.

    Return whether this process's was open.
    """
    was_open = close_circuit(region)
    until = timezone.now() + timedelta(seconds=RESET_SECONDS)
    for database in databases():
        Control.objects.using(database).filter(until__lt=timezone.now()).delete()
        Control.objects.using(database).create(kind=RESET, subject=region, until=until, by=by)
    return was_open


def pauses(names: Iterable[str] = ()) -> list[Pause]:
    """Return the pauses that stand now, the one that ends first at the front."""
    found: dict[str, Pause] = {}
    with bypassed():
        for database in names or databases():
            standing = Control.objects.using(database).filter(kind=PAUSE, until__gt=timezone.now())
            for one in standing.order_by("until")[:MAX_PAUSES]:
                found[one.subject] = Pause(model_label(one.subject), one.subject, one.until, one.by, one.reason)
    return list(found.values())


def table_of(model: type[models.Model]) -> str:
    return (model._meta.concrete_model or model)._meta.db_table
