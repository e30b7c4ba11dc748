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
RANGE = "range"  # the code of a span that nobody has named: a range of one's own
MAX_RANGE = 366 * DAY
# The bucket of a range, by the length that it is right up to: some 50 to 400 points a chart.
BUCKETS = (
    (timedelta(hours=3), timedelta(minutes=1)),
    (timedelta(days=3), timedelta(minutes=15)),
    (timedelta(days=14), timedelta(hours=1)),
    (MAX_RANGE, DAY),
)


def bucket_for(length: timedelta) -> timedelta:
    """Return the bucket in which a range of this length is shown."""
    return next((bucket for longest, bucket in BUCKETS if length <= longest), DAY)
