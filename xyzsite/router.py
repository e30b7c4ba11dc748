"""Which database a query goes to: writes to the primary, reads to the region's replica where it shows enough."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, models

from cacheops.regions.read_scope import alias_for_read

REPLICA = "replica"  # the alias of the region's own, where there is one


class RegionRouter:
    """Django's database router protocol (topics/db/multi-db)."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        return alias_for_read(DEFAULT_DB_ALIAS, REPLICA)

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, first: models.Model, second: models.Model, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return None if db == DEFAULT_DB_ALIAS else False
