"""CachedQuerySet and CachedManager: what one query asks of the cache, and the fast path of `get`.

A model needs neither: its reads are cached by the database engine, and the app cacheops.fastpath gives these querysets
to Django's own managers. With them `.cache()`, `.nocache()` are there, and hits by plain values build no query.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeVar

from django.db import models

from cacheops.conf import conf
from cacheops.encoding.rows import Row
from cacheops.exceptions import InvalidOption
from cacheops.orm.fastpath.get import get_plan, get_query, simple_condition
from cacheops.orm.fastpath.queryset import FastQuerySet, reads_as_django
from cacheops.orm.read_compiler import CachingCompiler
from cacheops.profiles import OPERATIONS, Level, level_from, operations, profile_of
from cacheops.reading.options import NOCACHE, QueryOptions, set_options

M = TypeVar("M", bound=models.Model)


class CachedQuerySet(FastQuerySet[M]):
    """A QuerySet that can say how it is cached."""

    def cache(
        self,
        ops: str | Iterable[str] | None = None,
        timeout: float | str | None = None,
        lock: bool | None = None,
        level: str | Level | None = None,
    ) -> Self:
        """Cache this query: all operations, or those named; `timeout` in seconds, or a strategy's name.

        `level` is "fresh", "bypass", "near", near(seconds) or stale_ok(seconds).

        Raise InvalidOption for an unknown name, or where the model is kept out of the cache (profile None).
        """
        if profile_of(self.model) is None:
            raise InvalidOption(
                f"{self.model._meta.label} has the profile None in CACHEOPS: its writes invalidate nothing, so no read "
                "of it can be cached. Give it a profile; {} is enough."
            )
        asked = None if level is None else level_from(level)
        options = QueryOptions(
            ops=OPERATIONS if ops is None else operations(ops),
            timeout=None if timeout is None else conf.ttl.get_ttl(timeout),
            lock=lock,
            level=asked.name if asked else None,
            seconds=asked.seconds if asked else None,
        )
        return self._with_options(options)

    def nocache(self) -> Self:
        """Read this query from the database."""
        return self._with_options(NOCACHE)

    def invalidated_update(self, **values: Any) -> int:
        """Update as `update` does, which invalidates too: the name that users of django-cacheops know."""
        return self.update(**values)

    def _with_options(self, options: QueryOptions) -> Self:
        clone = self._chain()
        set_options(clone.query, options)
        return clone

    def get(self, *args: Any, **kwargs: Any) -> M:
        condition = simple_condition(args, kwargs)
        if condition is not None and self._is_whole() and reads_as_django(type(self)):
            found = self._fast_get(*condition)
            if found is not None:
                return found
        return super().get(*args, **kwargs)

    def _fast_get(self, name: str, value: Any) -> M | None:
        """Return the instance, None where the long way must be gone. Raise DoesNotExist."""
        model, database = self.model, self.db
        read = self._cached_read("get", database)
        if read is None:
            return None
        plan = get_plan(self, database, name, value)
        if plan is None or type(value) is not plan.kind:
            return None

        def load() -> Sequence[Row]:
            rows = plan.load(database, value)
            return get_query(self, {name: value}).get_compiler(using=database).load_rows() if rows is None else rows

        rows = self._rows(read, plan.plan, [value], load)
        if rows is None:
            return None
        found = plan.instances(read.connection.wrapper, rows)
        if not found:
            raise model.DoesNotExist(f"{model._meta.object_name} matching query does not exist.")  # type: ignore[attr-defined]
        return found[0]


class CachedManager(models.Manager[M]):
    """A manager whose querysets are CachedQuerySets."""

    _hints: dict[str, Any]

    def get_queryset(self) -> CachedQuerySet[M]:
        return CachedQuerySet(self.model, using=self._db, hints=self._hints)

    def cache(self, *args: Any, **kwargs: Any) -> CachedQuerySet[M]:
        return self.get_queryset().cache(*args, **kwargs)

    def nocache(self) -> CachedQuerySet[M]:
        return self.get_queryset().nocache()

    def invalidated_update(self, **values: Any) -> int:
        return self.get_queryset().invalidated_update(**values)


def keys_of(queryset: models.QuerySet[Any]) -> list[str]:
    """Return the key of a queryset's entry, and of the tags that it depends on; none if it is not cached."""
    compiler = queryset.query.get_compiler(using=queryset.db)
    found = compiler.cache_request() if isinstance(compiler, CachingCompiler) else None
    return [] if found is None else found[0].key_list()


__all__ = ["CachedManager", "CachedQuerySet", "keys_of"]
