"""manage.py seed_demo: locations, devices, readings and people to look at."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from devices.imports.errors import ImportFailed
from devices.services import time_problem
from xyzsite.demo.people import DEMO_LOGINS, Login, add_people
from xyzsite.demo.seed import FINE_STEP, full, seed

MAX_DAYS = 400  # hourly readings of a year and a bit; more is not "small"


def moment(text: str) -> datetime:
    try:
        until = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not ISO 8601, such as 2026-05-04T12:00Z.") from error
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    problem = time_problem(until, timezone.now())
    if problem:
        raise ArgumentTypeError(problem)
    return until


class Command(BaseCommand):
    help = (
        "Load demo data: locations, devices, readings and people. Again, it adds the readings since the last time, "
        "where that is over an hour ago, and changes nothing that somebody has changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--until",
            type=moment,
            metavar="TIME",
            help="the newest reading, ISO 8601, UTC unless it says otherwise (default: now)",
        )
        parser.add_argument("--days", type=int, default=30, metavar="N", help="days of readings (default 30)")
        parser.add_argument(
            "--with-logins", action="store_true", help="give the demo people their public passwords without DEBUG too"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= MAX_DAYS:
            raise CommandError(f"--days {options['days']}: it must be from 1 to {MAX_DAYS}.")
        try:
            seeded = seed(full(options["until"] or timezone.now(), FINE_STEP), options["days"])
        except ImportFailed as error:
            raise CommandError(str(error)) from error
        with_logins = settings.DEBUG or options["with_logins"]
        added = add_people(with_logins)
        if seeded.readings or added:
            self.stdout.write(
                f"Added {seeded.locations} locations, {seeded.devices} devices, {seeded.readings:,} readings, "
                f"{len(added)} people."
            )
        else:
            self.stdout.write("The demo data is there; nothing was added.")
        if with_logins:
            self.stdout.write(logins_table(added))
        elif added:
            self.stdout.write("The demo people can not sign in: --with-logins gives them their public passwords.")


def logins_table(added: Sequence[Login]) -> str:
    lines = [f"{'user':10} {'password':15} who"]
    for login in DEMO_LOGINS:
        star = "" if login in added else " *"
        lines.append(
            f"{login.username:10} {login.password:15} {login.first_name} {login.last_name}, {login.duties}{star}"
        )
    if len(added) < len(DEMO_LOGINS):
        lines.append("* was there before, and keeps the password that was set since")
    return "\n".join(lines)
