from django.apps import AppConfig
from django.db.models.signals import post_migrate


class CacheopsConfig(AppConfig):
    name = "cacheops"
    verbose_name = "ORM cache"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from cacheops import checks  # noqa: F401 - registers them
        from cacheops.instrumentation.tracing import tracing
        from cacheops.monitoring import collectors, recorder
        from cacheops.orm import optimistic_save  # noqa: F401 - it hears of saves, the first one included
        from cacheops.relay.publication import publish_new_tables

        recorder.install()
        tracing.install()
        collectors.register()
        post_migrate.connect(publish_new_tables, sender=self, dispatch_uid="cacheops.relay")
