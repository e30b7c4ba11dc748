"""manage.py demo_load: readings posted while people browse and servers die; nothing acknowledged may be lost."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cacheops.patterns import Flusher, WriteBehindState
from devices.buffering import reading_buffer
from devices.management.options import above_zero, whole
from devices.models import Device, Reading
from xyzsite.demo.load.account import Account, account_of, latencies
from xyzsite.demo.load.calls import Caller
from xyzsite.demo.load.fleet import LoadDevice, Posted, all_posted, start_fleet
from xyzsite.demo.load.readers import Browsed, all_browsed, pages_of, start_readers
from xyzsite.demo.load.world import make_world, remove_world
from xyzsite.localregions.exceptions import LocalRegionsError
from xyzsite.localregions.manager import LocalRegions
from xyzsite.localregions.serving import served_urls

START_SECONDS = 120.0  # for the platform to serve, its demo data loaded
JOIN_SECONDS = 60.0  # for a thread's last call
REGIONS = settings.BASE_DIR / "var" / "regions"  # where `make run` keeps them
INTERRUPTED = 130  # a shell's exit status for Ctrl-C: 128 + SIGINT


class Command(BaseCommand):
    help = (
        "Post readings from a device fleet while readers browse, over HTTP against the running platform, and compare "
        "what was acknowledged with what the database holds. Exits with 1 if anything is lost or doubled."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", help="the platform (default: where `make run` serves; else PORT, else port 8000)")
        parser.add_argument("--start", action="store_true", help="start a platform of its own, and end it")
        parser.add_argument("--seconds", type=above_zero, default=60, help="how long (default: %(default)s)")
        parser.add_argument("--devices", type=whole(1), default=40, help="devices in the fleet (default: %(default)s)")
        parser.add_argument("--rate", type=above_zero, default=40, help="readings a second (default: %(default)s)")
        parser.add_argument("--posters", type=whole(1), default=4, help="connections that post (default: %(default)s)")
        parser.add_argument("--readers", type=whole(0), default=4, help="people who browse (default: %(default)s)")
        parser.add_argument("--pages", type=above_zero, default=10, help="pages a second (default: %(default)s)")
        parser.add_argument("--kill", action="store_true", help="kill Redis primaries of this region from time to time")
        parser.add_argument("--keep", action="store_true", help="leave the fleet and its readings in the database")

    def handle(self, *args: Any, start: bool, url: str | None, **options: Any) -> None:
        url = url or default_url(start)
        try:
            if start:
                self._started(url)
            else:
                self._compare(url, **options)
        except LocalRegionsError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted.", returncode=INTERRUPTED) from error

    def _compare(self, url: str, keep: bool, **options: Any) -> None:
        if not serves(url):
            raise CommandError(f"Nothing serves at {url}: run `make run`, or give --start.")
        try:
            right = self._run(url, **options)
        finally:
            if not keep:
                remove_world()
        if not right:
            raise CommandError("Readings that were acknowledged are missing, or stored twice.")

    def _run(
        self,
        url: str,
        seconds: float,
        devices: int,
        rate: float,
        posters: int,
        readers: int,
        pages: float,
        kill: bool,
        **options: Any,
    ) -> bool:
        world = make_world(devices)
        stopped = threading.Event()
        fleet = start_fleet(url, world.token, world.devices, posters, rate, stopped)
        people = start_readers(url, world.cookie, pages_of(world.devices), readers, pages, stopped)
        self._say(f"{devices} devices post to {url}, {readers} readers browse, for {seconds:.0f} s.")
        began = time.monotonic()
        try:
            self._go_on(began + seconds, kill)
        except KeyboardInterrupt:
            self._say("Interrupted: no more calls; what is accepted goes to the database.")
            raise
        finally:
            ran = time.monotonic() - began
            waiting = settled(stopped, [*fleet, *people])
            right = self._report(all_posted(fleet), all_browsed(people), waiting, world.devices, ran)
        return right

    def _go_on(self, deadline: float, kill: bool) -> None:
        while (left := deadline - time.monotonic()) > 0:
            if kill:
                self._kill_a_primary()
            time.sleep(max(0.0, min(left, random.uniform(4, 8))))

    def _kill_a_primary(self) -> None:
        regions = LocalRegions(REGIONS)
        regions.wait_linked()
        rows = [row for row in regions.status() if row["region"] == settings.XYZ_REGION and row["kind"] != "postgres"]
        node = random.choice([row["node"] for row in rows if row["role"] == "primary"])
        regions.kill(node)
        self._say(f"Killed {node}.")

    def _report(
        self, posted: Posted, browsed: Browsed, waiting: WriteBehindState, devices: list[LoadDevice], seconds: float
    ) -> bool:
        ids = [device.id for device in devices]
        rows = Reading.objects.nocache().filter(device_id__in=ids).values_list("device_id", "taken_at", "value")
        account = account_of(posted, rows)
        behind = devices_behind(posted, ids)
        looked_up = browsed.hits + browsed.misses
        answers = ", ".join(f"{count} {name}" for name, count in posted.answers.most_common())
        statuses = ", ".join(f"{count} x {status or 'no answer'}" for status, count in browsed.statuses.most_common())
        self._say(f"posts     {latencies(posted.seconds)}; {len(posted.seconds) / seconds:.0f}/s; {answers}")
        self._say(f"pages     {latencies(browsed.seconds)}; {len(browsed.seconds) / seconds:.0f}/s; {statuses}")
        self._say(f"hit rate  {browsed.hits / max(1, looked_up):.1%} of {looked_up} look-ups")
        self._say(
            f"buffer    {waiting.depth} waited at the end, the oldest for {waiting.oldest_seconds:.1f} s; "
            f"{waiting.dead} dead letters"
        )
        self._say(self._verdict(account, behind))
        return account.right and not behind

    def _verdict(self, account: Account, behind: int) -> str:
        style = self.style.SUCCESS if account.right and not behind else self.style.ERROR
        sign = "=" if account.stored == account.acknowledged else "!="
        return style(
            f"readings  acknowledged {account.acknowledged} {sign} stored {account.stored}; "
            f"lost = {account.lost}, doubled = {account.doubled}, wrong = {account.wrong}, "
            f"devices behind their newest = {behind}; {account.unanswered} stored without an answer"
        )

    def _started(self, url: str) -> None:
        """Start the platform, run this command again in a process that knows its servers, and end the platform."""
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        port = url.rpartition(":")[2]
        platform = subprocess.Popen([*manage, "serve", "--port", port], start_new_session=True)
        try:
            wait_until_served(url, platform)
            again = [argument for argument in sys.argv[1:] if argument != "--start"]
            code = run_to_its_end([*manage, *again])
        finally:
            platform.terminate()
            platform.wait()
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise CommandError("The run was not right: see above.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def settled(stopped: threading.Event, threads: Sequence[threading.Thread]) -> WriteBehindState:
    """End all calls, bring to the database what waits, as its devices may be deleted next; return what waited."""
    stopped.set()
    try:
        for thread in threads:
            thread.join(JOIN_SECONDS)
    finally:  # after a second Ctrl-C, too
        waiting = reading_buffer.state()
        Flusher(reading_buffer).flush_all()
    return waiting


def run_to_its_end(command: Sequence[str]) -> int:
    """Run a command and return its status. Ctrl-C reaches it once, and it is waited for: it ends with a summary."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        return process.wait()


def devices_behind(posted: Posted, ids: list[int]) -> int:
    """Return how many devices do not show their newest acknowledged reading, or a newer one."""
    newest: dict[int, Any] = {}
    for device, moment in posted.acknowledged:
        newest[device] = max(moment, newest.get(device, moment))
    shown = dict(Device.objects.nocache().filter(pk__in=ids).values_list("pk", "last_seen"))
    return sum(shown[device] is None or shown[device] < moment for device, moment in newest.items())


def default_url(start: bool) -> str:
    """Return where the platform is served; where one is to be started, or none is known, PORT of this machine."""
    served = {} if start else served_urls(REGIONS)
    port = os.environ.get("PORT", "8000")
    return served.get(settings.XYZ_REGION) or next(iter(served.values()), f"http://127.0.0.1:{port}")


def serves(url: str) -> bool:
    with closing(Caller(url, {})) as caller:
        return caller.get("/healthz").status == 200


def wait_until_served(url: str, platform: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and platform.poll() is None:
        if serves(url):
            return
        time.sleep(0.2)
    raise CommandError(f"The platform does not serve at {url}.")
