"""What the signal costs a write: `python -m benchmarks.rows_changed`, in one process, on SQLite in memory."""

import timeit
from collections.abc import Callable

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection

ROWS = [{"id": 1, "name": "one"}]
ROUNDS, CALLS = 300, 500


def least(call: Callable[[], object]) -> float:
    """Return the least time of a call, in microseconds."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def main() -> None:
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "cacheops"],
        CACHES={"default": {"BACKEND": "cacheops.backends.MemoryCache"}},
        DATABASES={"default": {"ENGINE": "cacheops.db.backends.sqlite3", "NAME": ":memory:"}},
        CACHEOPS_METRICS_SECONDS=0,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import Group

    from cacheops.writing.changes import Changes

    group = Group.objects.create(name="one")
    transaction = connection.cacheops.transaction  # type: ignore[attr-defined]

    def by_call() -> None:
        transaction.changes.add("auth_group", ROWS, "save")
        transaction.changes = Changes()

    def by_signal() -> None:
        transaction.changed_rows("auth_group", ROWS, "save")
        transaction.changes = Changes()

    called, signalled = least(by_call), least(by_signal)
    saved = min(timeit.repeat(group.save, number=1, repeat=ROUNDS)) * 1e6
    print(f"by a call {called:.2f} us, by the signal {signalled:.2f} us: {signalled - called:.2f} us more")
    print(f"a save() {saved:.0f} us: {(signalled - called) / saved:.1%} of it")


if __name__ == "__main__":
    main()
