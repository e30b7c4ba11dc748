"""The contract that ships with the engine, on each of its own stores."""

from cacheops.testing.many_contract import ManyContract
from cacheops.testing.store_contract import StoreContract


class TestStores(StoreContract):
    pass


class TestMany(ManyContract):
    pass
