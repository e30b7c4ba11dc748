"""Make the overview and the common analytics before anybody asks for them."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.management.base import BaseCommand, CommandError

from analytics.summaries import warm
from analytics.warming import recipes


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--region",
            choices=[*settings.XYZ_REGIONS, "all"],
            default=settings.XYZ_REGION,
            help="whose cache to fill (default: %(default)s, this process's own)",
        )

    def handle(self, *args: Any, region: str, **options: Any) -> None:
        regions = list(settings.XYZ_REGIONS) if region == "all" else [region]
        started = time.perf_counter()
        made = list(recipes())
        missing = warm(made, [caches[name] for name in regions])
        if missing:
            raise CommandError(f"{missing} summaries could not be stored: see whether {', '.join(regions)} answers.")
        seconds = time.perf_counter() - started
        overviews = sum(":overview:" in recipe.key for recipe in made)
        counts = f"{overviews} overviews and {len(made) - overviews} analytics"
        self.stdout.write(f"Warmed {counts} in {', '.join(regions)}: {seconds:.1f} s.")
