from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "xyzsite.web"
    verbose_name = "Pages"
