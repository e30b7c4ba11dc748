"""How long entries live: named strategies, jitter, and early refresh. Durations are in seconds."""

import math
import random
from collections.abc import Mapping

from cacheops.exceptions import InvalidOption

# The specification's strategies.
TTL_STRATEGIES: dict[str, int] = {
    "static_data": 3600,  # rarely changing data
    "user_session": 1800,
    "device_data": 300,  # sensor readings
    "analytics": 900,  # computed analytics
    "real_time": 60,
    "long_term": 86400,  # historical data
}
MAX_TTL = 30 * 86400  # a month: longer, and a forgotten entry is never seen to be wrong


class TTLManager:
    """The strategies of one project: the specification's, and those that its settings add or change."""

    def __init__(self, strategies: Mapping[str, float] | None = None) -> None:
        self.strategies: dict[str, float] = {**TTL_STRATEGIES, **(strategies or {})}
        for name, seconds in self.strategies.items():
            checked_ttl(seconds, f"the TTL strategy {name!r}")

    def get_ttl(self, data_type: str | float, custom_ttl: float | None = None) -> float:
        """Return seconds: `custom_ttl` if given (0: "do not keep"), a strategy's by its name, or the number itself.

        Raise InvalidOption for an unknown strategy, a negative number, or more than 30 days.
        """
        if custom_ttl is not None:
            return checked_ttl(custom_ttl, "custom_ttl")
        if isinstance(data_type, str):
            if data_type not in self.strategies:
                known = ", ".join(sorted(self.strategies))
                raise InvalidOption(f"{data_type!r} is no TTL strategy. Use seconds, or one of: {known}.")
            return self.strategies[data_type]
        return checked_ttl(data_type, "the TTL")


def checked_ttl(seconds: float, what: str) -> float:
    """Return `seconds`, or raise InvalidOption that names `what`."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_TTL:
        raise InvalidOption(f"{what} is {seconds!r}; it must be a number of seconds from 0 to {MAX_TTL} (30 days).")
    return seconds


def jittered(ttl: float, share: float, uniform: float | None = None) -> float:
    """Shorten a TTL by a random part of up to `share` of it, so that entries made together do not end together."""
    return ttl * (1 - share * (random.random() if uniform is None else uniform))


def refresh_early(now: float, expires_at: float, load_seconds: float, beta: float, uniform: float) -> bool:
    """Say whether this reader should load again although the entry has not expired yet.

    XFetch: the closer the expiry and the dearer the load, the likelier (Vattani, Chierichetti, Lowenstein, "Optimal
    Probabilistic Cache Stampede Prevention", VLDB 2015). `uniform` is a random number in (0, 1]; beta 0: never.
    """
    return beta > 0 and now - load_seconds * beta * math.log(uniform) >= expires_at
