"""The state machine of tests/testapp/machine.py on each database and store.

A few examples in a usual run; CACHEOPS_SOAK=5000 (`make soak-orm`) runs so many in all, with another seed each time.
"""

import os
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.testapp.machine import OrmMachine
from tests.testapp.managers import fastpath_app

pytestmark = pytest.mark.django_db(databases="__all__")

SOAK = int(os.environ.get("CACHEOPS_SOAK", "0"))
CLUSTER, PAIR, MEMORY = "us-east-1", "us-west-2", "memory"
PAIRS = [(database, region) for database in ("default", "other") for region in (CLUSTER, PAIR, MEMORY)]
PROFILE = settings(
    max_examples=SOAK // (2 * len(PAIRS)) + 1 if SOAK else 4,
    stateful_step_count=20 if SOAK else 15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    derandomize=not SOAK,
    database=None,
)


@pytest.mark.parametrize("managers", [nullcontext, fastpath_app])
@pytest.mark.parametrize(("database", "region"), PAIRS)
def test_each_cached_answer_is_the_databases(database: str, region: str, managers: Any, settings: Any) -> None:
    settings.CACHES = settings.CACHES | {MEMORY: {"BACKEND": "cacheops.backends.MemoryCache", "LOCATION": MEMORY}}
    machine = type("Machine", (OrmMachine,), {"database": database, "region": region})
    with managers():
        run_state_machine_as_test(machine, settings=PROFILE)
