"""Signals. Receivers run in the thread that reads or writes, and must be quick; in a worker, they may take time.

`rows_changed` drives the invalidation: what a receiver of it raises fails the write. The others only tell; what their
receivers raise is logged. Of writes a process hears of its own only: a relay, which invalidates for those of other
programs, sends none of these.
"""

from django.dispatch import Signal

rows_changed = Signal(use_caching=True)
"""A write of this process has changed rows, and is not committed yet. Send it for writes that only your code knows of.

Arguments: the sender is the model; `table` (that of the model, if not given), `rows` (before and after the change, each
a mapping of columns to values, of the columns by which queries are cached; None for the whole table), `source` (the
kind of write; "signal", if not given), `database` (its alias; "default", if not given).
"""

cache_invalidated = Signal()
"""This process has committed changes, and what is cached of the rows was invalidated; once a table and transaction.

Arguments: the sender is the model; `table`, `source` (of the first write), `keys` (primary keys of the rows; None for
the whole table, and where they are many or not known), `database`, `obj_dict` (attributes of the row, as far as they
are known, where it is only one; otherwise None).
"""

cache_read = Signal()
"""A query or a decorated function was answered, from its entry or otherwise.

Arguments: the sender is the model, None for functions; `func` (None for queries), `hit` (whether its entry has
answered), `key` (of the entry), `op` (of the query, "call" for functions).
"""

region_state_changed = Signal()
"""A region became reachable or unreachable for this process.

Arguments: the sender is None; `region`, `reachable` (bool).
"""

worker_heartbeat = Signal()
"""A worker of `flush_writes` has time for other work: every few seconds, and once by `--once` and `--drain`.

Arguments: the sender is None. Its writes wait while a receiver works: do a little at a time.
"""
