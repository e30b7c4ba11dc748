"""The contract of a store, as tests: the rules of docs/design/invalidation.md that every store keeps.

A store's author subclasses StoreContract in a test module for pytest, under a name that begins with Test, and gives it
two fixtures:

    store      a cacheops.stores.base.Store; what others have put into it does not matter
    pass_time  a call that lets so many seconds pass for the store: its clock's, or a sleep
"""

from cacheops.testing.store_contract.inspecting import InspectionRules
from cacheops.testing.store_contract.many import ManyRules
from cacheops.testing.store_contract.outdated import OutdatedRules
from cacheops.testing.store_contract.parts import BRIEF, TTL, PassTime, Reader, new_table, new_writer, query, write
from cacheops.testing.store_contract.reading import ReadingRules
from cacheops.testing.store_contract.writing import WritingRules

__all__ = ["BRIEF", "TTL", "PassTime", "Reader", "StoreContract", "new_table", "new_writer", "query", "write"]


class StoreContract(ReadingRules, ManyRules, WritingRules, OutdatedRules, InspectionRules):
    """All rules."""
