"""Types of options, for argparse: what is out of range is refused before anything begins."""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def whole(least: int) -> Callable[[str], int]:
    """Return the type of whole numbers from `least` up."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is no whole number") from None
        if value < least:
            raise ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


def above_zero(text: str) -> float:
    """Return a number above 0 that is not infinite."""
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number") from None
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text} is not above 0")
    return value


def matching(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return the type of what `parse` takes: its ValueError says what is wrong."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return read
