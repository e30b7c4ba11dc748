"""manage.py demo_fleet: the demo's devices post what they measure; `make run` starts it."""

import signal
import threading
from argparse import ArgumentTypeError
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from xyzsite.demo.fleet import end_tokens, fleet, make_token, post


def site(text: str) -> tuple[str, str]:
    region, _, url = text.partition("=")
    if region not in settings.XYZ_REGIONS or not url.startswith("http://"):
        raise ArgumentTypeError(f"{text!r} is not as us-west-2=http://127.0.0.1:8001.")
    return region, url


class Command(BaseCommand):
    help = (
        "Post what the demo's devices measure through the API, a reading a second in all, until stopped. A device "
        "posts to the site of its region, else to the first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("sites", type=site, nargs="+", metavar="REGION=URL", help="where the platform is served")

    def handle(self, *args: Any, sites: list[tuple[str, str]], **options: Any) -> None:
        stopped = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            stopped.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        devices = fleet()
        token = make_token()
        self.stdout.write(f"{len(devices)} devices post to {', '.join(url for _, url in sites)}.")
        self.stdout.flush()
        try:
            post(dict(sites), token, devices, stopped)
        finally:
            end_tokens()
