"""What a row must look like at each counter, and what a query may answer when counters lie within bounds.

Readers note bounds: the `floor` of a row is the newest counter whose commit had returned before the read began, its
`ceiling` the newest that any writer may have committed before the read ended. With both equal, every check is exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

IMMORTAL = 12  # items 1..12 always exist
MORTAL = 4  # items 13..16 are deleted and made again
ITEMS = IMMORTAL + MORTAL
SHELVES = 4
AMOUNT = 100  # of each immortal item at the beginning
TOTAL = IMMORTAL * AMOUNT
PERIOD = 2 * SHELVES  # after so many counters, everything that follows from a counter begins again

Bounds = Sequence[int]  # by item - 1; the shelves' follow


@dataclass(frozen=True, slots=True)
class Look:
    """What follows from an item's pk and counter. A deleted item has no look."""

    shelf: int
    parity: int


def look_of(item: int, counter: int) -> Look | None:
    """Return what the committed row of an item holds; None while there is none."""
    if item > IMMORTAL and counter % 4 == 3:
        return None
    return Look(1 + (item + counter // 2) % SHELVES, counter % 2)


LOOKS = [[look_of(item, counter) for counter in range(PERIOD)] for item in range(1, ITEMS + 1)]
Predicate = Callable[[Look | None], bool]


def possible(item: int, low: int, high: int, holds: Predicate) -> tuple[bool, bool]:
    """Say whether a condition may hold for an item within its bounds, and whether it must."""
    looks = LOOKS[item - 1]
    found = [holds(looks[counter % PERIOD]) for counter in range(low, min(high, low + PERIOD) + 1)]
    return any(found), all(found)


def count_bounds(lows: Bounds, highs: Bounds, holds: Predicate) -> tuple[int, int]:
    """Return how many items a condition must hold for at least, and at most."""
    least = most = 0
    for item in range(1, ITEMS + 1):
        may, must = possible(item, lows[item - 1], highs[item - 1], holds)
        least += must
        most += may
    return least, most


def row_fault(item: int, counter: int, shelf: int, parity: int, dirty: bool, lows: Bounds, highs: Bounds) -> str:
    """Return what is wrong with a row that was read; "" if nothing."""
    low, high = lows[item - 1], highs[item - 1]
    if dirty:
        return f"item {item}: a change that was never committed"
    if counter < low:
        return f"item {item} at {counter}, committed before was {low}"
    if counter > high:
        return f"item {item} at {counter}, newest written is {high}"
    if look_of(item, counter) != Look(shelf, parity):
        return f"item {item} at {counter}: shelf {shelf}, parity {parity}, should be {look_of(item, counter)}"
    return ""


def absence_fault(item: int, lows: Bounds, highs: Bounds, holds: Predicate) -> str:
    """Return what is wrong with an item's not being in an answer; "" if it may be absent."""
    _, must = possible(item, lows[item - 1], highs[item - 1], holds)
    return f"item {item} is missing, its counter is {lows[item - 1]} to {highs[item - 1]}" if must else ""
