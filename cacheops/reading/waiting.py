"""How a reader waits for what another one is loading: it looks again and again, and leaves room for the loader."""

import time
from collections.abc import Iterator

FIRST, LONGEST = 0.002, 0.02  # seconds between two looks where these take no time
REST = 9  # times as long as its last look took, a reader rests at least: it asks for a tenth of its time
LONGEST_REST = 0.25  # seconds


def looks(seconds: float) -> Iterator[None]:
    """Yield when it is time to look, for so many seconds.

    Many who wait make each look slow, and so they look less often: servers and processors are left to who loads.
    """
    ends = time.monotonic() + seconds
    pause = FIRST
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        began = time.monotonic()
        yield
        pause = max(min(pause * 1.5, LONGEST), min(REST * (time.monotonic() - began), LONGEST_REST))
