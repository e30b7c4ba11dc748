"""Breadth-first search over the states of a small world."""
from collections import deque


def search(initial, steps, promise, canonical=lambda state: state):
    """Return (verdict, states, history) of a breadth-first search from the initial state.

    `canonical` gives states that differ in names only one form.
    """
    initial = canonical(initial)
    came_from = {initial: None}
    queue = deque([initial])
    while queue:
        state = queue.popleft()
        broken = promise(state)
        if broken:
            history, at = [], state
            while came_from[at] is not None:
                at, label = came_from[at]
                history.append(label)
            return f"BROKEN: {broken}", len(came_from), history[::-1]
        for label, following in steps(state):
            following = canonical(following)
            if following not in came_from:
                came_from[following] = (state, label)
                queue.append(following)
    return "ok", len(came_from), []


def replaced(sequence, index, value):
    return sequence[:index] + (value,) + sequence[index + 1:]
