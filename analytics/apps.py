from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "analytics"

    def ready(self) -> None:
        from analytics import warming
        from cacheops.warming import register_warmer

        register_warmer(
            "analytics", warming.works, keys=warming.keys, help="overviews and the common analytics", batch=20
        )
