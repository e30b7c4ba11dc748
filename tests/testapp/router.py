"""A second database for the test application: SQLite in memory, with the engine before it."""

from typing import Any

from django.db import models

OTHER = "other"
APPS = frozenset({"testapp", "contenttypes", "cacheops"})


class TestAppRouter:
    """Objects stay in the database that they came from; nothing but the test application is in the second one."""

    __test__ = False  # its name is not a test's

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        instance = hints.get("instance")
        return OTHER if instance is not None and instance._state.db == OTHER else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return app_label in APPS if db == OTHER else None
