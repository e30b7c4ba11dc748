from django.apps import AppConfig


class XyzSiteConfig(AppConfig):
    name = "xyzsite"
    verbose_name = "People"
