"""manage.py import_readings: files of readings into the database."""

import time
from argparse import RawDescriptionHelpFormatter, _ArgumentGroup
from collections.abc import Sequence
from contextlib import ExitStack
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import transaction
from rich.console import Console

from devices.imports.cells import TIME_FORMATS
from devices.imports.errors import FileFailed, ImportFailed
from devices.imports.files import Found, find_files
from devices.imports.formats import Format
from devices.imports.importer import BATCH, Counts, FileDone, Importer, Policy
from devices.imports.long import FIXED, ROLES
from devices.imports.options import (
    NO_LIMIT,
    Options,
    known_decimal,
    known_delimiter,
    known_encoding,
    known_limit,
    known_time_format,
    known_zone,
    pairs,
)
from devices.imports.registry import FORMATS
from devices.imports.reports import BadRows, BarReport, FirstReadings, QuietReport
from devices.imports.writers import writer
from devices.management.options import matching, whole

HELP = "Import readings from files of text: CSV and its kin, plain or gzipped."
FORMAT_LINES = "\n".join(
    f"  {name:6} {kind.description}\n         {','.join(kind.header)}" for name, kind in FORMATS.items()
)
EPILOG = f"""formats, each with the header that its files have:
{FORMAT_LINES}

An import that was stopped, in whatever way, goes on where it was when the same command is given again. A reading that
is there already is counted as known and left as it is, so that no import can double one. A file that is finished is
passed over the next time, unless some of its rows were bad.

examples:
  manage.py import_readings prsa data/prsa
  manage.py import_readings long january.csv february.csv.gz --errors bad-rows.csv
  manage.py import_readings long logger.txt --dry-run --delimiter semicolon --decimal , --timezone Europe/Berlin
      --columns "serial=Sensor,time=Zeit,temperature=Temp [°C]" --time-format "%d.%m.%Y %H:%M"

docs/how-to/import-readings.md shows the layouts of nine loggers and archives, and the options that read them.
"""
MAX_NAMED = 10  # files that are left out
INTERRUPTED = 130  # a shell's exit status for Ctrl-C: 128 + SIGINT


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the formats and examples as they are."""


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
            help="a .csv, .txt, .tsv or .dat file, or such a .gz; or a folder of them, with its sub-folders",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="store nothing; show the first readings as understood"
        )
        self.add_text_arguments(parser.add_argument_group("how files are read"))
        parser.add_argument("--strict", action="store_true", help="stop at the first bad row, with exit status 1")
        parser.add_argument(
            "--max-bad",
            type=matching(known_limit),
            default=NO_LIMIT,
            metavar="N|P%",
            help="stop a file of which more rows are bad, before that batch is stored, with exit status 1",
        )
        parser.add_argument("--errors", type=Path, metavar="FILE", help="add all bad rows to FILE: file,line,reason")
        parser.add_argument(
            "--show", type=whole(0), default=10, metavar="N", help="show the first N bad rows (default 10)"
        )
        parser.add_argument("--again", action="store_true", help="read files from their start, finished or not")
        parser.add_argument(
            "--batch",
            type=whole(1),
            default=BATCH,
            metavar="N",
            help=f"readings in one transaction (default {BATCH:,})",
        )

    def add_text_arguments(self, group: _ArgumentGroup) -> None:
        for name, parse, metavar, text in (
            ("timezone", known_zone, "ZONE", "of times that name none, such as America/Chicago or +01:00"),
            ("encoding", known_encoding, "NAME", "such as cp1252; UTF-8 and UTF-16 are recognised"),
            ("delimiter", known_delimiter, "CHARACTER", "or its name, such as tab; , ; tab and | are recognised"),
            ("decimal", known_decimal, "POINT", "point or comma, . or , (a comma is recognised where it is no other)"),
            ("time-format", known_time_format, "FORMAT", f"strptime's, or {', '.join(TIME_FORMATS)}"),
        ):
            group.add_argument(f"--{name}", type=matching(parse), metavar=metavar, help=text.replace("%", "%%"))
        group.add_argument("--skip", type=whole(0), default=0, metavar="N", help="lines between header and first row")
        group.add_argument(
            "--columns",
            action="append",
            default=[],
            metavar="ROLE=COLUMN,…",
            help=f"where each role stands, by name or number (#1): {', '.join(ROLES)}",
        )
        group.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="ROLE=VALUE,…",
            help=f"what all rows have in common: {', '.join(FIXED)}",
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
        found = find_files(options["paths"])
        report = self.report(found)
        bad_rows = BadRows(report.say, options["show"], self.errors_file(stack, options["errors"]))
        if options["dry_run"]:
            stack.enter_context(transaction.atomic())  # of the devices that a format makes
            stack.callback(transaction.set_rollback, True)
        policy = {name: options[name] for name in ("strict", "again", "max_bad", "dry_run")}
        importer = Importer(
            self.layout(options),
            writer(),
            Policy(**policy, batch_size=options["batch"]),
            on_bad_row=bad_rows.add,
            on_step=report.step,
            on_reading=FirstReadings(report.say, options["show"]).add,
        )
        stack.enter_context(report.running())
        done, failed = [], []
        for path in found.files:
            try:
                done.append(importer.import_file(path))
            except FileFailed as error:
                failed.append(str(error))
            else:
                report.say(self.line(done[-1]))
            report.file_done(path)
        if bad_rows.count > options["show"] > 0 and not options["errors"]:
            report.say(f"… and {bad_rows.count - options['show']:,} more bad rows: --errors FILE gets all of them.")
        if failed:
            raise ImportFailed("\n".join(failed))
        return done

    def layout(self, options: dict[str, Any]) -> Format:
        kind = FORMATS[options["format"]]
        try:
            columns, fixed = pairs(options["columns"], ROLES), pairs(options["set"], FIXED)
        except ValueError as error:
            raise CommandError(f"--columns and --set: {error}.") from error
        if not kind.takes_columns and (columns or fixed or options["time_format"]):
            raise CommandError(
                f"--columns, --set and --time-format are of no use to {kind.name}: its columns are given."
            )
        text = {name: options[name] or "" for name in ("encoding", "delimiter", "decimal", "time_format")}
        return kind(Options(options["timezone"], **text, skip=options["skip"], columns=columns, fixed=fixed))

    def report(self, found: Found) -> QuietReport:
        report = BarReport(found.files, Console()) if self.stdout.isatty() else QuietReport(self.stdout.write)
        if found.left_out:
            names = [str(path) for path in found.left_out]
            more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
            report.say(f"Left out, as their names end otherwise: {', '.join(names[:MAX_NAMED])}{more}.")
        return report

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
        + (f", {counts.missing:,} missing" if counts.missing else "")
    )
