"""manage.py relay: tell a region of what is written past Django, and every region what it has missed."""

import gc
import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, Error, InterfaceError, connections
from psycopg import Error as DriverError

from cacheops.conf import conf
from cacheops.exceptions import InvalidOption, RelayInterrupted, RelayRefused, StoreError
from cacheops.invalidation import primary_databases
from cacheops.management.retries import Retries
from cacheops.regions import Region, regions
from cacheops.relay.follower import FollowerRelay
from cacheops.relay.publication import install, problems, uninstall, unseen
from cacheops.relay.relay import Relay
from cacheops.relay.state import follower_in, regions_told, state_of

logger = logging.getLogger("cacheops")

PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)  # seconds after failures in a row of the region or the database
TURN_SECONDS = 1.0  # between two looks whether another relay has ended
QUEUE_SECONDS = 5.0  # between two looks for what a region missed that is back: nobody may read there
IDLE_SECONDS = 1.0  # for which one round waits for the log: how late a signal is heard
FAILURES = (StoreError, RelayInterrupted, DatabaseError, InterfaceError, DriverError)


class Command(BaseCommand):
    help = (
        "Tell a region of all that is written to the database past Django, from the database's log, until stopped. "
        "Of several for one region one works, and another takes over when it ends. Each tells all regions what they "
        "missed while they did not answer."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--region", metavar="REGION", help="of CACHEOPS_REGIONS; this process's own by default")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="alias of the primary (default: %(default)s)")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--install", action="store_true", help="publish the cached tables; again after migrations")
        what.add_argument("--uninstall", action="store_true", help="take back what --install and relays have made")
        what.add_argument("--once", action="store_true", help="tell what was committed until now, and end")
        what.add_argument("--status", action="store_true", help="say how far each region's relay is")

    def handle(self, *args: Any, region: str | None, database: str, **options: Any) -> None:
        if database not in connections:
            raise CommandError(f"DATABASES has no {database!r}: use one of {', '.join(connections)}.")
        if connections[database].vendor != "postgresql":
            raise CommandError(next(problems(database)))
        acts: dict[str, Callable[[], None]] = {
            "install": lambda: self._install(database),
            "uninstall": lambda: self._uninstall(database),
            "status": lambda: self._show(region, database),
            "once": lambda: self._once(self._region(region, database), database),
        }
        act = next((acts[name] for name in acts if options[name]), None)
        try:
            if act:
                act()
            else:
                self._work(self._region(region, database), database)
        except (RelayRefused, InvalidOption, *FAILURES) as error:
            raise CommandError(str(error).strip()) from error

    def _region(self, name: str | None, database: str) -> Region:
        """Return the region to be told. Raise RelayRefused where nobody can tell it."""
        name = name or conf.local_region
        if name not in regions_told(database):
            known = ", ".join(regions_told(database)) or "none"
            raise RelayRefused(f"{name!r} is no region that caches {database!r}: {known}.")
        if not conf.has_fixed_prefix:
            raise RelayRefused("CACHEOPS_PREFIX is a function, and a relay would not know whose keys to invalidate.")
        if found := list(problems(database)):
            raise RelayRefused(" ".join(found))
        region = regions[name]
        if not region.store.remote:
            raise RelayRefused(f"{name!r} is in the memory of each process, which no relay reaches: use RegionCache.")
        return region

    def _install(self, database: str) -> None:
        done = install(database)
        self._log(f"Published {len(done.tables)} tables of {database!r}.")
        if done.full:
            self._log(f"Their log tells rows as they were, from now on: {', '.join(done.full)}.")
        if done.unpublished:
            self._log(f"No tables, so writes behind them are not seen: {', '.join(done.unpublished)}.")
        for problem in done.unseen:
            self._log(problem)
        self._log("Now run `manage.py relay` for each region that caches it.")

    def _uninstall(self, database: str) -> None:
        dropped = uninstall(database)
        self._log(f"Took back the publication of {database!r}" + (f", and {', '.join(dropped)}." if dropped else "."))

    def _show(self, region: str | None, database: str) -> None:
        for name in [region] if region else regions_told(database):
            self._log(state_of(database, name).words())
        for problem in unseen(database):
            self._log(problem)

    def _once(self, region: Region, database: str) -> None:
        relay = relay_for(region, database)
        if not relay.try_turn():
            raise RelayRefused(f"A relay of {region.name} is at work already: it tells all by itself.")
        with relay:
            relay.work_until(relay.send_note())
        self._log(f"{region.name} was told of all that was committed until now.")

    # --- until stopped ----------------------------------------------------------------------------------------------

    def _work(self, region: Region, database: str) -> None:
        stopped = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            stopped.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        threading.Thread(target=drain_queues, args=(stopped,), name="cacheops queues", daemon=True).start()
        gc.collect()
        gc.freeze()  # else a later collection looks at all that was imported, and commits wait for tens of milliseconds
        retries = Retries(f"The relay of {region.name}", PAUSES)
        while not stopped.is_set():
            try:
                self._take_turn(region, database, stopped, retries.worked)
            except FAILURES as error:
                pause = retries.failed(error)
                connections[database].close()
                stopped.wait(pause)
        connections[database].close()
        self._log("Stopped.")

    def _take_turn(self, region: Region, database: str, stopped: threading.Event, worked: Callable[[], None]) -> None:
        """Wait for our turn, then work until stopped. Raise one of FAILURES."""
        relay, waits = relay_for(region, database), False
        while not relay.try_turn():
            if not waits:
                self._log(f"Another relay of {region.name} is at work: waiting until it ends.")
            waits = True
            if stopped.wait(TURN_SECONDS):
                return
        with relay:
            self._log(f"Telling {region.name} of what is written to {database!r}.")
            while not stopped.is_set():
                relay.work(IDLE_SECONDS)
                worked()

    def _log(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def drain_queues(stopped: threading.Event) -> None:
    """Tell regions what they missed until stopped, beside the relay, which a region that hangs must not hold up."""
    while not stopped.wait(QUEUE_SECONDS):
        try:
            regions.drain_queues(primary_databases())
        except Error as error:  # the relay says that its database does not answer
            logger.debug("What regions missed could not be read: %s", error)
        finally:
            connections.close_all()  # this thread's: one more connection would stay open for nothing


def relay_for(region: Region, database: str) -> Relay:
    """Return a new relay of a region, of its own kind."""
    follower = follower_in(region.name, database)
    return FollowerRelay(region, database, follower) if follower else Relay(region, database)
