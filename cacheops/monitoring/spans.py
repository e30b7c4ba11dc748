"""The spans of time for which a region keeps sums: minutes for a day, hours for thirty days, and all time."""

import datetime as dt
from dataclasses import dataclass

from cacheops.conf import conf
from cacheops.stores.ledger import span_base

MINUTE, HOUR, DAY = 60, 3600, 86_400
MINUTES_LIVE = DAY + 10 * MINUTE  # seconds; a late flush may still find its minute
HOURS_LIVE = 30 * DAY
TOTAL_LIVES = 30 * DAY  # from the last flush on


@dataclass(frozen=True, slots=True)
class Span:
    """A minute, an hour, or (seconds = 0) all time."""

    seconds: int
    number: int = 0  # since the epoch

    @property
    def base(self) -> str:
        """What the span's keys begin with."""
        name = f"{'m' if self.seconds == MINUTE else 'h'}-{self.number}" if self.seconds else "total-"
        return span_base(conf.metrics_prefix, name)

    @property
    def lives(self) -> int:
        return {MINUTE: MINUTES_LIVE, HOUR: HOURS_LIVE}.get(self.seconds, TOTAL_LIVES)

    @property
    def starts(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.number * self.seconds, dt.UTC)


TOTAL = Span(0)


def span_at(moment: float, seconds: int) -> Span:
    """Return the minute or hour that holds a moment (seconds since the epoch)."""
    return Span(seconds, int(moment // seconds))


def last_spans(moment: float, seconds: int, count: int) -> list[Span]:
    """Return so many minutes or hours, oldest first; the last is the one that holds the moment."""
    last = int(moment // seconds)
    return [Span(seconds, number) for number in range(last - count + 1, last + 1)]
