"""Which database a query goes to: writes to the primary, reads to the region's replica where there is one."""

from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import models

# True while the current request, or a recent one of the same person, has written: its reads must see that write.
read_primary: ContextVar[bool] = ContextVar("read_primary", default=False)


class RegionRouter:
    """Django's database router protocol (topics/db/multi-db)."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        if "replica" not in settings.DATABASES or read_primary.get():
            return "default"
        return "replica"

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        read_primary.set(True)
        return "default"

    def allow_relation(self, first: models.Model, second: models.Model, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return None if db == "default" else False
