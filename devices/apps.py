from django.apps import AppConfig


class DevicesConfig(AppConfig):
    name = "devices"

    def ready(self) -> None:
        from cacheops.warming import register_warmer
        from devices import (
            buffering,  # noqa: F401 - the workers of flush_writes know it from here on
            current,  # noqa: F401 - from here on, saved devices are written through
            warming,
        )
        from devices.models import Device

        register_warmer(
            "devices", warming.works, model=Device, help="their rows and pages, with the 24 h summaries", batch=50
        )
