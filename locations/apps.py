from django.apps import AppConfig


class LocationsConfig(AppConfig):
    name = "locations"

    def ready(self) -> None:
        from cacheops.warming import register_warmer
        from locations import warming
        from locations.models import Location

        register_warmer("locations", warming.works, model=Location, help="their rows and pages", batch=20)
