from django.apps import AppConfig


class CacheopsConfig(AppConfig):
    name = "cacheops"
    verbose_name = "ORM cache"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from cacheops import checks  # noqa: F401 - registers them
        from cacheops.monitoring import flush, parts
        from cacheops.monitoring.tracing import tracing

        flush.install()
        tracing.install()
        parts.register()
