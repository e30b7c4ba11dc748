from django.apps import AppConfig
from django.db.models import Manager, QuerySet

METHODS = ("cache", "nocache", "invalidated_update")


class CacheopsCompatConfig(AppConfig):
    name = "cacheops.compat"
    label = "cacheops_compat"

    def ready(self) -> None:
        from cacheops.queryset import CachedManager, CachedQuerySet

        for name in (*METHODS, "_with_options"):
            if not hasattr(QuerySet, name):
                setattr(QuerySet, name, getattr(CachedQuerySet, name))
        for name in METHODS:
            if not hasattr(Manager, name):
                setattr(Manager, name, getattr(CachedManager, name))
