"""The contract of a store, as tests: what the protocol (docs/design/invalidation.md) asks of every one.

A store's author subclasses StoreContract in a test module for pytest, under a name that begins with Test, and gives it
two fixtures:

    store      a cacheops.stores.base.Store; what others have put into it does not matter
    pass_time  a call that lets so many seconds pass for the store: its clock's, or a sleep
"""

from cacheops.testing.store_contract.keeping import KeepingContract
from cacheops.testing.store_contract.outdated import OutdatedContract
from cacheops.testing.store_contract.parts import BRIEF, TTL, Pass, Reader, new_table, new_writer, query, write
from cacheops.testing.store_contract.reading import ReadingContract
from cacheops.testing.store_contract.writing import WritingContract

__all__ = [
    "BRIEF",
    "TTL",
    "KeepingContract",
    "OutdatedContract",
    "Pass",
    "Reader",
    "ReadingContract",
    "StoreContract",
    "WritingContract",
    "new_table",
    "new_writer",
    "query",
    "write",
]


class StoreContract(ReadingContract, WritingContract, KeepingContract, OutdatedContract):
    """All of it."""
