"""Signals that other code may listen to. Receivers run in the caller's thread and must be quick; the sender is None."""

from django.dispatch import Signal

cache_read = Signal()
"""A decorated function was called.

Arguments: `func`, `hit` (whether its entry has answered), `key` (of the entry), `op` ("call").
"""

cache_invalidated = Signal()
"""A table was changed, and what is cached of it was invalidated.

Arguments: `table`, `rows` (how many row values are known; None for the whole table), `source` (the kind of write).
"""

region_state_changed = Signal()
"""A region became reachable or unreachable for this process.

Arguments: `region`, `reachable` (bool).
"""
