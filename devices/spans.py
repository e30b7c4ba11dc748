"""How long a window of readings is, and the size of its buckets."""

from dataclasses import dataclass
from datetime import timedelta

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """How long a window is, and the size of its buckets."""

    code: str
    label: str
    length: timedelta
    bucket: timedelta


SPANS = {
    span.code: span
    for span in (
        Span("1h", "1 hour", timedelta(hours=1), timedelta(minutes=1)),
        Span("24h", "24 hours", timedelta(hours=24), timedelta(minutes=15)),
        Span("7d", "7 days", timedelta(days=7), timedelta(hours=1)),
        Span("30d", "30 days", timedelta(days=30), DAY),
    )
}


DEFAULT_SPAN = SPANS["24h"]
