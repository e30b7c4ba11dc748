"""manage.py serve: what `make run` does."""

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from xyzsite.localregions.exceptions import LocalRegionsError, UnknownName
from xyzsite.localregions.plan import REGIONS, known_region
from xyzsite.localregions.serving import LocalPlatform
from xyzsite.localregions.watched import PlatformError


def region_names(text: str) -> list[str]:
    """Return the regions that a text names by comma, in the platform's order."""
    try:
        named = {known_region(name.strip()) for name in text.split(",")}
    except UnknownName as error:
        raise ArgumentTypeError(str(error)) from error
    return [region for region in REGIONS if region in named]


class Command(BaseCommand):
    help = (
        "Start the local regions, bring the database up to date, load the demo data, warm the cache, and serve the "
        "platform in each region. Ctrl-C ends all that this has started; the data stays."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=int, default=8000, help="port of the first site, whose others follow (default: %(default)s)"
        )
        parser.add_argument(
            "--regions", type=region_names, default=REGIONS, metavar="R,R", help="regions with a site (default: all)"
        )
        parser.add_argument("--no-fleet", action="store_true", help="have no devices that post readings")
        parser.add_argument("--dir", type=Path, help="folder of the regions' state and data (var/regions)")

    def handle(
        self, *args: Any, port: int, regions: list[str], no_fleet: bool, dir: Path | None, **options: Any
    ) -> None:
        platform = LocalPlatform(
            settings.BASE_DIR,
            regions,
            port,
            self._say,
            own_region=settings.XYZ_REGION,
            directory=dir,
            fleet=not no_fleet,
        )
        try:
            platform.run()
        except (PlatformError, LocalRegionsError) as error:
            raise CommandError(str(error)) from error

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
