"""manage.py cache_stats: what the cache does, for a person or a program."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cacheops.conf import conf
from cacheops.monitoring.monitor import states
from cacheops.monitoring.recorder import flusher
from cacheops.monitoring.report import as_values, text_report

WATCH_SECONDS = 2.0
CLEAR = "\033[H\033[2J"  # ECMA-48: cursor home, erase the display


class Command(BaseCommand):
    help = "Show health, hit rates, latencies, memory and invalidations of every region, or of one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--region", help="only this region")
        parser.add_argument("--json", action="store_true", help="as JSON: seconds, bytes, shares from 0 to 1")
        parser.add_argument(
            "--watch",
            nargs="?",
            type=float,
            const=WATCH_SECONDS,
            metavar="SECONDS",
            help=f"again every so many seconds ({WATCH_SECONDS:g}), until Ctrl-C",
        )

    def handle(self, *args: Any, region: str | None, json: bool, watch: float | None, **options: Any) -> None:
        if region is not None and region not in conf.regions:
            raise CommandError(f"{region} is no region. Use one of: {', '.join(conf.regions)}.")
        if watch is not None and watch <= 0:
            raise CommandError("--watch needs seconds above 0.")
        self._show(region, json, clear=False)
        try:
            while watch is not None:
                time.sleep(watch)
                self._show(region, json, clear=not json and self.stdout.isatty())
        except KeyboardInterrupt:
            return

    def _show(self, region: str | None, as_json: bool, *, clear: bool) -> None:
        flusher.flush()  # what this process has counted itself
        found = states((region,) if region else conf.regions)
        if as_json:
            self.stdout.write(json.dumps(as_values(found)))
            return
        self.stdout.write((CLEAR if clear else "") + "\n".join(text_report(found)))
