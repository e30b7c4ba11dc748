from django.apps import AppConfig
from django.contrib import admin


class WebConfig(AppConfig):
    name = "xyzsite.web"
    verbose_name = "Pages"

    def ready(self) -> None:
        admin.site.index_template = "admin_start.html"
