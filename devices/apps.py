from django.apps import AppConfig


class DevicesConfig(AppConfig):
    name = "devices"

    def ready(self) -> None:
        from devices import buffering, current  # noqa: F401 - flush_writes and saved devices know them from here on
