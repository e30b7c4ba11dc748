"""How much is warmed: the most used rows, those used since a moment, or all."""

import datetime as dt
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cacheops.exceptions import InvalidOption
from cacheops.regions.hotkeys import HOURS
from cacheops.warming.history import Checkpoint
from cacheops.warming.ordering import count_rows, existing_keys, hot_keys, hours_ago, other_keys
from cacheops.warming.registry import Warmer

DEFAULT_TOP = 1000  # rows of each target
MOST_TOP = 100_000  # the list is kept for --resume
SPAN = re.compile(r"(\d+)\s*([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Scope:
    """What of each target is warmed. `since` is a moment, in seconds since the epoch; one of the three is chosen."""

    text: str  # as it is told and kept
    top: int | None = None
    since: float | None = None

    @classmethod
    def chosen(cls, top: int | None, since: str | None, everything: bool) -> "Scope":
        """Return the scope of the command's options. Raise InvalidOption for a bad one, or for two of them."""
        given = [
            name for name, one in (("--top", top), ("--since", since), ("--all", everything or None)) if one is not None
        ]
        if len(given) > 1:
            raise InvalidOption(f"{' and '.join(given)} exclude each other: give one of them.")
        if since is not None:
            return cls(f"since {since}", since=parse_since(since))
        if everything:
            return cls("all")
        top = DEFAULT_TOP if top is None else top
        if not 0 < top <= MOST_TOP:
            raise InvalidOption(f"--top is {top}: it must be from 1 to {MOST_TOP:,}; --all warms every row.")
        return cls(f"top {top}", top=top)

    def start(self, warmer: Warmer, checkpoint: Checkpoint) -> None:
        """Fix the target's list of hot keys, which its order hangs on, before its first batch."""
        if warmer.model is not None and checkpoint.hot is None:
            since = hours_ago(HOURS) if self.since is None else self.since
            used = hot_keys(warmer.model, since, checkpoint.regions)
            checkpoint.hot = list(islice(existing_keys(warmer.model, used), self.top or MOST_TOP))

    def keys(self, warmer: Warmer, checkpoint: Checkpoint) -> Iterator[Any]:
        """Yield the target's keys that are not done yet, the most used first."""
        if warmer.model is None:
            assert warmer.keys is not None
            listed = list(warmer.keys())
            yield from listed[checkpoint.hot_done :]
            return
        hot = [warmer.model._meta.pk.to_python(key) for key in checkpoint.hot or ()]
        yield from hot[checkpoint.hot_done :]
        if self.since is None:
            others = other_keys(warmer.model, checkpoint.last, frozenset(hot), newest=self.top is not None)
            room = None if self.top is None else self.top - len(hot) - checkpoint.others_done
            for number, key in enumerate(others):
                if room is not None and number >= room:
                    return
                yield key

    def count(self, warmer: Warmer, checkpoint: Checkpoint) -> int:
        """Return how many keys the target has, done ones too."""
        if warmer.model is None:
            assert warmer.keys is not None
            return len(list(warmer.keys()))
        hot = len(checkpoint.hot or ())
        if self.since is not None:
            return hot
        rows = count_rows(warmer.model)
        return rows if self.top is None else min(self.top, max(rows, hot))


def parse_since(text: str) -> float:
    """Return the moment that a span ("90m", "24h") or an ISO 8601 date or time names, in seconds since the epoch.

    Raise InvalidOption for another text, or a moment that is not of the past.
    """
    span = SPAN.fullmatch(text.strip())
    if span is not None:
        return time.time() - int(span[1]) * SECONDS[span[2]]
    try:
        moment = parse_datetime(text) or dt.datetime.combine(dt.date.fromisoformat(text), dt.time())
    except ValueError:
        raise InvalidOption(
            f"--since is {text!r}: write a span such as 90m, 24h or 2d, or a time such as 2026-01-31T08:00."
        ) from None
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    if moment.timestamp() >= time.time():
        raise InvalidOption(f"--since is {text!r}: that moment has not come yet.")
    return moment.timestamp()


def done(checkpoint: Checkpoint, warmer: Warmer, keys: list[Any]) -> None:
    """Note keys as done."""
    hot = len(checkpoint.hot or ()) if warmer.model is not None else None
    left = len(keys) if hot is None else min(len(keys), hot - checkpoint.hot_done)
    checkpoint.hot_done += left
    others = keys[left:]
    if others:
        checkpoint.others_done += len(others)
        checkpoint.last = plain_key(others[-1])


def plain_key(key: Any) -> Any:
    """Return a key as JSON can hold it."""
    return key if isinstance(key, int | str) else str(key)
