"""manage.py import_readings: files of readings into the database."""

import time
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import tzinfo
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from rich.console import Console

from devices.imports.errors import ImportFailed
from devices.imports.files import find_files
from devices.imports.importer import BATCH, Counts, FileDone, Importer
from devices.imports.registry import FORMATS
from devices.imports.reports import BadRows, BarReport, QuietReport
from devices.imports.writers import writer
from devices.management.options import whole
from locations.models import validate_timezone

HELP = "Import readings from CSV files, plain or gzipped."
FORMAT_LINES = "\n".join(
    f"  {name:6} {kind.description}\n         {','.join(kind.header)}" for name, kind in FORMATS.items()
)
EPILOG = f"""formats, each with the header that its files must have:
{FORMAT_LINES}

An import that was stopped, in whatever way, goes on where it was when the same command is given again. A reading that
is there already is counted as known and left as it is, so that no import can double one. A file that is finished is
passed over the next time, unless some of its rows were bad.

examples:
  manage.py import_readings prsa data/prsa
  manage.py import_readings long january.csv february.csv.gz --errors bad-rows.csv
"""
INTERRUPTED = 130  # a shell's exit status for Ctrl-C: 128 + SIGINT


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the formats and examples as they are."""


def zone(name: str) -> tzinfo:
    try:
        validate_timezone(name)
    except ValidationError as error:
        raise ArgumentTypeError(error.messages[0]) from error
    return ZoneInfo(name)


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class Command(BaseCommand):
    help = HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EPILOG, formatter_class=HelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("format", metavar="FORMAT", choices=FORMATS, help=f"one of: {', '.join(FORMATS)}")
        parser.add_argument(
            "paths",
            metavar="PATH",
            nargs="+",
            type=Path,
            help="a .csv or .csv.gz file, or a folder of such",
        )
        parser.add_argument("--strict", action="store_true", help="stop at the first bad row, with exit status 1")
        parser.add_argument("--errors", type=Path, metavar="FILE", help="add all bad rows to FILE: file,line,reason")
        parser.add_argument(
            "--show", type=whole(0), default=10, metavar="N", help="show the first N bad rows (default 10)"
        )
        parser.add_argument(
            "--timezone", type=zone, metavar="ZONE", help="zone of times that name none, such as America/Chicago"
        )
        parser.add_argument("--again", action="store_true", help="read files from their start, finished or not")
        parser.add_argument(
            "--batch",
            type=whole(1),
            default=BATCH,
            metavar="N",
            help=f"readings in one transaction (default {BATCH:,})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        try:
            with ExitStack() as stack:
                done = self.import_files(stack, options)
        except ImportFailed as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted. Give the same command again to go on.", returncode=INTERRUPTED) from error
        self.sum_up(done, time.monotonic() - started)

    def import_files(self, stack: ExitStack, options: dict[str, Any]) -> list[FileDone]:
        files = find_files(options["paths"])
        report = self.report(files)
        bad_rows = BadRows(report.say, options["show"], self.errors_file(stack, options["errors"]))
        importer = Importer(
            FORMATS[options["format"]](options["timezone"]),
            writer(),
            on_bad_row=bad_rows.add,
            on_step=report.step,
            strict=options["strict"],
            again=options["again"],
            batch_size=options["batch"],
        )
        stack.enter_context(report.running())
        done = []
        for path in files:
            done.append(importer.import_file(path))
            report.file_done(path)
            report.say(self.line(done[-1]))
        if bad_rows.count > options["show"] > 0 and not options["errors"]:
            report.say(f"… and {bad_rows.count - options['show']:,} more bad rows: --errors FILE gets all of them.")
        return done

    def report(self, files: Sequence[Path]) -> QuietReport:
        if self.stdout.isatty():
            return BarReport(files, Console())
        return QuietReport(self.stdout.write)

    def errors_file(self, stack: ExitStack, path: Path | None) -> Any:
        if path is None:
            return None
        try:
            return stack.enter_context(path.open("a", encoding="utf-8", newline=""))
        except OSError as error:
            raise CommandError(f"--errors: {path} can not be written: {error.strerror}.") from error

    def line(self, done: FileDone) -> str:
        if done.before:
            return f"{done.path.name}: was finished on {done.before:%Y-%m-%d %H:%M} UTC; --again reads it once more."
        resumed = f"resumed after line {done.resumed_after:,}: " if done.resumed_after else ""
        return f"{done.path.name}: {resumed}{summary(done.counts)}, {done.counts.seconds:.1f} s"

    def sum_up(self, done: Sequence[FileDone], seconds: float) -> None:
        total = reduce(add, (each.counts for each in done), Counts())
        self.stdout.write(
            f"{counted(len(done), 'file')}: {summary(total)}, {seconds:.1f} s "
            f"({total.rows / seconds:,.0f} rows/s, {total.readings / seconds:,.0f} readings/s)"
        )


def summary(counts: Counts) -> str:
    return (
        f"{counted(counts.rows, 'row')}, {counted(counts.readings, 'reading')} "
        f"({counts.known:,} known), {counted(counts.bad, 'bad row')}"
    )
