"""manage.py cache_stats: what the cache does, for a person or a program."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from cacheops.conf import conf
from cacheops.management.console import terminal
from cacheops.monitoring.monitor import states
from cacheops.monitoring.recorder import flusher
from cacheops.monitoring.report import report
from cacheops.monitoring.serialize import as_values

WATCH_SECONDS = 2.0


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
        console = terminal(self)
        self._show(console, region, json)
        try:
            while watch is not None:
                time.sleep(watch)
                if not json:
                    console.clear()  # does nothing but on a terminal
                self._show(console, region, json)
        except KeyboardInterrupt:
            return

    def _show(self, console: Console, region: str | None, as_json: bool) -> None:
        flusher.flush()  # what this process has counted itself
        found = states((region,) if region else conf.regions)
        if as_json:
            self.stdout.write(json.dumps(as_values(found)))
            return
        for part in report(found):
            console.print(part)
