"""manage.py warm_cache: fill regions before anybody asks."""

import json
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from cacheops.conf import conf
from cacheops.exceptions import InvalidOption
from cacheops.management.console import terminal
from cacheops.warming.bars import BarReport
from cacheops.warming.history import Checkpoint, WarmingRun, as_data, read_checkpoint
from cacheops.warming.progress import LineReport, QuietReport
from cacheops.warming.registry import find_warmers, registered
from cacheops.warming.runner import Runner
from cacheops.warming.selection import DEFAULT_TOP, Scope

HELP = "Fill the regions' caches, the most used rows first."
EPILOG = f"""Without --top, --since or --all: the {DEFAULT_TOP:,} most used rows of each target, then the newest.
What writers are about to change is left out; nothing that they have changed is ever overwritten.

examples:
  manage.py warm_cache
  manage.py warm_cache devices --all --region all --rate 2000
  manage.py warm_cache devices.Device --since 24h --dry-run
"""
INTERRUPTED = 130  # a shell's exit status for Ctrl-C: 128 + SIGINT


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the targets and examples as they are."""


class Command(BaseCommand):
    help = HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        targets = "\n".join(f"  {warmer.name:11} {warmer.help}" for warmer in registered())
        epilog = f"targets:\n{targets}\n  app.Model   the rows of any cached model\n\n{EPILOG}"
        return super().create_parser(prog_name, subcommand, epilog=epilog, formatter_class=HelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("targets", metavar="TARGET", nargs="*", help="what to warm (default: every target below)")
        parser.add_argument(
            "--region", metavar="R", default=conf.local_region, help="a region, or all; this process's own by default"
        )
        parser.add_argument("--top", type=int, metavar="N", help="the N most used rows of each target")
        parser.add_argument("--since", metavar="T", help="rows used since then: 90m, 24h, or an ISO 8601 time")
        parser.add_argument("--all", action="store_true", help="every row, the most used first")
        parser.add_argument("--rate", type=rate, metavar="N/s", help="at most N entries a second in each region")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done; change nothing")
        parser.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
        parser.add_argument("--json", action="store_true", help="tell the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            runner, report = self.prepared(options)
        except InvalidOption as error:
            raise CommandError(str(error)) from error
        try:
            with report:
                run = runner()
        except KeyboardInterrupt as error:
            self.tell(runner.run, options)
            advice = (
                "Nothing was changed." if options["dry_run"] else "The same command with --resume goes on from here."
            )
            raise CommandError(f"Interrupted. {advice}", returncode=INTERRUPTED) from error
        self.tell(run, options)
        failed = {name: outcome for name, outcome in run.outcomes.items() if outcome.failed}
        if failed:
            told = "; ".join(f"{name}: {one.failed:,} failed ({one.error})" for name, one in failed.items())
            raise CommandError(f"{told}. Run it again: what is warm by now costs little.")

    def prepared(self, options: dict[str, Any]) -> tuple[Runner, Any]:
        """Return the run that the options ask for, and what it tells. Raise InvalidOption."""
        regions = chosen_regions(options["region"])
        scope = Scope.chosen(options["top"], options["since"], options["all"])
        warmers = find_warmers(options["targets"])
        names = tuple(warmer.name for warmer in warmers)
        checkpoint = self.checkpoint(names, scope, regions, resume=options["resume"])
        report = self.report(regions, options)
        runner = Runner(warmers, checkpoint, scope, report, rate=options["rate"], dry_run=options["dry_run"])
        return runner, report

    def checkpoint(self, names: tuple[str, ...], scope: Scope, regions: tuple[str, ...], *, resume: bool) -> Checkpoint:
        fresh = Checkpoint(names, scope.text, regions)
        if not resume:
            return fresh
        found = read_checkpoint(regions)
        if found is None:
            self.stderr.write("Nothing was interrupted in these regions: starting from the beginning.")
            return fresh
        if not found.matches(names, scope.text, regions):
            raise InvalidOption(
                f"--resume: what was interrupted warmed {', '.join(found.targets)} ({found.scope}) in "
                f"{', '.join(found.regions)}. Give the same targets, scope and regions, or leave --resume out."
            )
        return found

    def report(self, regions: Sequence[str], options: dict[str, Any]) -> Any:
        if options["json"] or options["verbosity"] == 0:
            return QuietReport()
        console = terminal(self)
        return BarReport(regions, console) if console.is_terminal else LineReport(self.stdout.write)

    def tell(self, run: WarmingRun, options: dict[str, Any]) -> None:
        if options["json"]:
            data = {**as_data(run), "dry_run": options["dry_run"]}
            self.stdout.write(json.dumps(data, indent=2))
            return
        for name, outcome in run.outcomes.items():
            if outcome.error and not outcome.total:
                self.stdout.write(outcome.error)
                continue
            warmed = f"would warm {outcome.warmed:,}" if options["dry_run"] else f"{outcome.warmed:,} warmed"
            self.stdout.write(
                f"{name}: {warmed}, {outcome.already_warm:,} already warm, "
                f"{outcome.skipped:,} skipped, {outcome.failed:,} failed, {outcome.bytes:,} bytes"
            )
        self.stdout.write(f"{', '.join(run.targets)} ({run.scope}): {run.seconds:.1f} s")


def rate(text: str) -> float:
    """Return entries a second from "500" or "500/s"."""
    return float(text.removesuffix("/s"))


def chosen_regions(name: str) -> tuple[str, ...]:
    """Return the regions of --region. Raise InvalidOption for one that has no servers of its own."""
    if name == "all":
        return conf.regions
    if name not in conf.regions:
        raise InvalidOption(f"--region is {name!r}: use {', '.join(conf.regions)}, or all.")
    return (name,)
