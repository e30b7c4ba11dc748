"""The engine's database backend over one that publishes: directly after COMMIT has returned, before anything else."""

from collections.abc import Callable

from django.db.backends.postgresql import base

from cacheops.db.backends.postgresql.base import DatabaseWrapper as CachingWrapper


class Hooks:
    """What a process of the harness does around the database's COMMIT."""

    before_commit: Callable[[], None] = staticmethod(lambda: None)
    after_commit: Callable[[], None] = staticmethod(lambda: None)


class PublishingWrapper(base.DatabaseWrapper):
    def _commit(self) -> None:
        Hooks.before_commit()
        super()._commit()
        Hooks.after_commit()


class DatabaseWrapper(CachingWrapper, PublishingWrapper):
    """The cache's commit (mark, commit, clear) around the publishing one."""
