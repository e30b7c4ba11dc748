"""What the board held a while ago: by this, answers are judged that may be as old as a bound."""

from collections import deque

from tests.consistency.board import ROWS
from tests.consistency.rules import Bounds

NOTHING: Bounds = [0] * ROWS
Lists = tuple[Bounds, ...]


class Past:
    def __init__(self, lists: int) -> None:
        self._held: deque[tuple[float, Lists]] = deque([(0.0, (NOTHING,) * lists)])

    def note(self, moment: float, lists: Lists) -> None:
        """Note what the board holds at a moment (monotonic), or has held since before it."""
        if self._held[-1][1] != lists:
            self._held.append((moment, lists))

    def at(self, moment: float) -> Lists:
        """Return what was noted last until a moment; later calls ask for later ones."""
        while len(self._held) > 1 and self._held[1][0] <= moment:
            self._held.popleft()
        return self._held[0][1]
