"""How far the regions are from each other: what the links between them take to pass something on."""

from collections.abc import Callable
from dataclasses import dataclass

from xyzsite.localregions.exceptions import LocalRegionsError
from xyzsite.localregions.plan import HOME

# Round trips in milliseconds, as measured between the data centres of these names.
REAL = {
    frozenset((HOME, "us-west-2")): 62.0,
    frozenset((HOME, "us-east-2")): 12.0,
    frozenset(("us-west-2", "us-east-2")): 50.0,
}
# After which TCP sends again what was lost, in seconds: Linux's least retransmission time-out (RFC 6298).
RESEND_SECONDS = 0.2
MAX_MILLISECONDS = 10_000.0


@dataclass(frozen=True)
class Distance:
    """Of two regions: seconds there and back, seconds of jitter at most, and the share of packets that are lost."""

    round_trip: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0

    def way(self, random: Callable[[], float]) -> float:
        """Return the seconds that one packet takes; `random` is from 0 to 1. One that is lost is sent again."""
        seconds = self.round_trip / 2 + (self.jitter * random() if self.jitter else 0.0)
        if self.loss and random() < self.loss:
            seconds += max(RESEND_SECONDS, self.round_trip)
        return seconds


def checked(milliseconds: float, jitter: float = 0.0, loss: float = 0.0) -> Distance:
    """Return a distance of milliseconds, and a loss in percent. Raise LocalRegionsError for what is none."""
    if not (0 <= milliseconds <= MAX_MILLISECONDS and 0 <= jitter <= MAX_MILLISECONDS):
        raise LocalRegionsError(f"A distance and its jitter are milliseconds from 0 to {MAX_MILLISECONDS:,.0f}.")
    if not 0 <= loss < 100:
        raise LocalRegionsError("The loss is a percentage from 0 to below 100.")
    return Distance(milliseconds / 1000, jitter / 1000, loss / 100)
