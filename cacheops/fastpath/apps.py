from django.apps import AppConfig
from django.db.models import Manager

QUERYSET_CLASS = "_queryset_class"  # the attribute that Manager.from_queryset() sets, too


class CacheopsFastpathConfig(AppConfig):
    name = "cacheops.fastpath"
    label = "cacheops_fastpath"

    def ready(self) -> None:
        from cacheops.queryset import CachedQuerySet

        setattr(Manager, QUERYSET_CLASS, CachedQuerySet)
