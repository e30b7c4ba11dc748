from django.apps import AppConfig


class XyzSiteConfig(AppConfig):
    name = "xyzsite"

    def ready(self) -> None:
        from xyzsite import notices, replica, warming

        replica.register()
        warming.register()
        notices.register()
