from django.apps import AppConfig


class CacheopsConfig(AppConfig):
    name = "cacheops"
    verbose_name = "ORM cache"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from cacheops import checks  # noqa: F401 - registers them
        from cacheops.instrumentation.tracing import tracing
        from cacheops.monitoring import collectors, recorder
        from cacheops.orm import optimistic_save  # noqa: F401 - it hears of saves, the first one included

        recorder.install()
        tracing.install()
        collectors.register()
