"""Ways in which bytes change that nobody meant to change: cut, flipped, swapped, grown, replaced."""

import os
import random

# How many are tried in a long run (`make faults`), others each time; 0: a sample, always the same.
MUTATIONS = int(os.environ.get("CACHEOPS_MUTATIONS", "0"))


def new_random() -> tuple[random.Random, int]:
    """Return what draws, and its seed."""
    seed = random.randrange(2**32) if MUTATIONS else 11
    return random.Random(seed), seed


def cut(draw: random.Random, data: bytes) -> bytes:
    return data[: draw.randrange(len(data) + 1)] if draw.random() < 0.5 else data[draw.randrange(len(data) + 1) :]


def flip(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8)) if changed else 0):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def swap(draw: random.Random, data: bytes) -> bytes:
    """Return the bytes with two parts in each other's place."""
    first, second = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[second:] + data[first:second] + data[:first]


def grow(draw: random.Random, data: bytes) -> bytes:
    return data + draw.randbytes(draw.randrange(1, 30))


def anything(draw: random.Random, data: bytes) -> bytes:
    return draw.randbytes(draw.choice((0, 1, len(data), 24, 100)))


CHANGES = (cut, flip, swap, grow, anything)


def changed(draw: random.Random, data: bytes) -> bytes:
    """Return the bytes, changed in one of the ways; now and then they are still the same."""
    return draw.choice(CHANGES)(draw, data)
