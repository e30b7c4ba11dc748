"""manage.py serve: what `make run` does."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from xyzsite.localregions.exceptions import LocalRegionsError
from xyzsite.localregions.serving import LocalPlatform, PlatformError


class Command(BaseCommand):
    help = (
        "Start the local regions, bring the database up to date, load the demo data, warm the cache, and serve the "
        "platform. Ctrl-C ends all that this has started; the data stays."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the site (default: %(default)s)")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        try:
            LocalPlatform(settings.BASE_DIR, settings.XYZ_REGION, port, self._say).run()
        except (PlatformError, LocalRegionsError) as error:
            raise CommandError(str(error)) from error

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
