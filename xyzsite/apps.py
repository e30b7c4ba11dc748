from django.apps import AppConfig


class XyzSiteConfig(AppConfig):
    name = "xyzsite"
    verbose_name = "People"

    def ready(self) -> None:
        from cacheops.warming import register_warmer
        from xyzsite import warming
        from xyzsite.models import User

        register_warmer(
            "users",
            warming.works,
            model=User,
            help="their rows, their sessions, and what every page reads for them",
            batch=50,
        )
