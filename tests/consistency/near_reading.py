"""A reader at the level near: its answers may be as old as the level's bound, and never older."""

import time
from typing import Any

from tests.consistency.past import Past
from tests.consistency.reading import Reader
from tests.consistency.rules import Bounds


class NearReader(Reader):
    """`bound`: seconds."""

    def __init__(self, *arguments: Any, bound: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.bound = bound
        self.past = Past(2)

    def lows(self) -> tuple[Bounds, Bounds]:
        now = time.monotonic()
        self.past.note(now, super().lows())
        strict, promised = self.past.at(now - self.bound)
        return strict, promised
