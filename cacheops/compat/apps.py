from typing import Any

from django.apps import AppConfig
from django.db.models import Manager, QuerySet
from django.db.models.signals import post_save

METHODS = ("cache", "nocache", "invalidated_update")


class CacheopsCompatConfig(AppConfig):
    name = "cacheops.compat"
    label = "cacheops_compat"

    def ready(self) -> None:
        from cacheops.compat import querysets, saving
        from cacheops.queryset import CachedManager, CachedQuerySet

        for name in (*METHODS, "_with_options"):
            _add(QuerySet, name, getattr(CachedQuerySet, name))
        for name in METHODS:
            _add(Manager, name, getattr(CachedManager, name))
        for name in ("clone", "inplace", "cloning"):
            _add(QuerySet, name, getattr(querysets, name))
        _add(Manager, "inplace", querysets.managed_inplace)
        post_save.connect(saving.cache_saved, dispatch_uid="cacheops.compat")


def _add(kind: Any, name: str, method: Any) -> None:
    if not hasattr(kind, name):
        setattr(kind, name, method)
