"""The contract that ships with the engine, on each of its own stores."""

from cacheops.testing.store_contract import StoreContract


def test_no_rule_hides_another_of_the_same_name() -> None:
    rules = [name for part in StoreContract.__mro__ for name in vars(part) if name.startswith("test_")]
    assert len(rules) == len(set(rules)) > 60


class TestStores(StoreContract):
    pass
