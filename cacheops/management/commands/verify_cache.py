"""manage.py verify_cache: compare entries with the database, and name the cause of each difference."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from cacheops.conf import conf
from cacheops.exceptions import StoreError
from cacheops.monitoring.recorder import flusher
from cacheops.monitoring.verify import Report, recipe_keys, verify
from cacheops.regions import regions

RATE = 20.0  # entries a second: one statement each
STEPS = 20  # a second in which entries are compared, where they are more: those of one at once
AT_ONCE = 100


class Command(BaseCommand):
    help = "Compare entries, drawn at random, with the database; exit with 1 where one differs that must not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--region", help="the region whose entries are read; this process's own by default")
        parser.add_argument("--sample", default=f"{RATE:g}/s", metavar="N/s", help=f"how many a second ({RATE:g}/s)")
        parser.add_argument(
            "--entries", type=int, metavar="N", help="end once N were compared, drawing anew; by default each once"
        )
        parser.add_argument("--json", action="store_true", help="as JSON, one object")

    def handle(
        self, *args: Any, region: str | None, sample: str, entries: int | None, json: bool, **options: Any
    ) -> None:
        name = region or conf.local_region
        if name not in conf.regions:
            raise CommandError(f"{name} is no region. Use one of: {', '.join(conf.regions)}.")
        rate = rate_in(sample)
        if entries is not None and entries < 1:
            raise CommandError(f"--entries needs a number of 1 or more, not {entries}.")
        report = Report(name)
        flusher.flush()  # what this process has counted itself
        try:
            self._verify(report, rate, entries)
        except (StoreError, DatabaseError) as error:
            raise CommandError(f"Ended before all were compared: {error}") from error
        finally:
            flusher.flush()
            self._show(report, json)  # of hours, too, that an error has ended
        if report.faults:
            raise CommandError(f"{len(report.faults)} entries differ from the database.", returncode=1)

    def _verify(self, report: Report, rate: float, most: int | None) -> None:
        region = regions[report.region]
        due = time.monotonic()
        at_once = int(min(AT_ONCE, max(1, rate / STEPS)))
        while True:
            before = report.compared
            for found in verify(region, recipe_keys(region), at_once):
                report.add(found)
                if report.compared == most:
                    return
                due = max(due + 1 / rate, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
            if most is None or report.compared == before:
                return

    def _show(self, report: Report, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(report.as_values()))
            return
        for each in report.differences:
            allowed = f" (allowed: {each.allowed})" if each.allowed else ""
            self.stdout.write(f"{each.cause}{allowed}: {each.label} {each.key}")
        others = {outcome: count for outcome, count in report.outcomes.items() if outcome not in ("equal", "differs")}
        left_out = "".join(f", {count} {outcome.replace('_', ' ')}" for outcome, count in sorted(others.items()))
        self.stdout.write(f"{report.region}: {report.compared} compared, {len(report.faults)} at fault{left_out}.")
        if not report.outcomes:
            self.stdout.write("Nothing can be verified: set CACHEOPS_VERIFY_SAMPLE, in the processes that read.")


def rate_in(text: str) -> float:
    """Return the entries a second of a text such as "20/s". Raise CommandError."""
    number = text.removesuffix("/s")
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise CommandError(f"--sample needs entries a second, such as 20/s, not {text!r}.")
    return rate
