"""manage.py flush_writes: a worker that brings buffered writes to the database, and what regions missed to them."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connections, transaction

from cacheops.conf import conf
from cacheops.exceptions import StoreError
from cacheops.invalidation import primary_databases
from cacheops.management.retries import Retries
from cacheops.patterns.write_behind.buffer import NoBuffer
from cacheops.patterns.write_behind.cache import dead_letters, registered
from cacheops.patterns.write_behind.worker import Flusher
from cacheops.regions import regions
from cacheops.signals import worker_heartbeat

POLL_SECONDS = 0.5  # a write becomes due within tens of seconds; each look is one round trip
QUEUE_SECONDS = 5.0  # between two heartbeats, and looks for what a region missed that is back: nobody may read there
PAUSES = (0.5, 1.0, 2.0, 5.0)  # seconds after failures in a row of the region or the database


class Command(BaseCommand):
    help = (
        "Bring buffered writes to the database until stopped: in batches of CACHEOPS_FLUSH_BATCH, or what is "
        "CACHEOPS_FLUSH_SECONDS old. Tell regions that answer again what they missed, and do what receivers of "
        "worker_heartbeat do. Run as many as you like, in each region; end one with SIGTERM, or kill it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--once", action="store_true", help="write everything that waits now, and end")
        what.add_argument("--drain", action="store_true", help="until stopped; then write everything that still waits")
        what.add_argument("--state", action="store_true", help="show what waits")
        what.add_argument("--dead", action="store_true", help="list the dead letters")
        what.add_argument("--retry-dead", action="store_true", help="write the dead letters again; those that go, end")

    def handle(
        self, *args: Any, once: bool, state: bool, dead: bool, retry_dead: bool, drain: bool, **options: Any
    ) -> None:
        if dead:
            self._list_dead()
        elif retry_dead:
            self._retry_dead()
        elif state:
            self._said(self._show_state)
        elif once:
            self._said(self._flush_all)
        else:
            self._work()
            if drain:
                self._said(self._flush_all)

    def _said(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (StoreError, Error) as error:
            raise CommandError(str(error)) from error

    # --- the worker -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        if not worker_heartbeat.has_listeners() and not buffers_exist():
            self._log(f"There is nothing to do: {NoBuffer().problem()}, so nothing is buffered.")
            return
        stopped = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            stopped.set()  # the batch in hand is finished first

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        flushers = [Flusher(cache) for cache in registered.values()]
        names = ", ".join(registered)
        self._log(f"Bringing {names} to the database.")
        retries, next_look = Retries(f"flush_writes in {conf.local_region}", PAUSES), 0.0
        while not stopped.is_set():
            try:
                reach_database()
                if time.monotonic() >= next_look:
                    regions.drain_queues(primary_databases())
                    worker_heartbeat.send_robust(None)
                    next_look = time.monotonic() + QUEUE_SECONDS
                taken = sum([flusher.flush_due() for flusher in flushers])
            except (StoreError, Error) as error:
                pause = retries.failed(error)
                connections.close_all()  # whichever was lost: a follower's cache asks its replica as well
                stopped.wait(pause)
                continue
            retries.worked()
            if not taken:
                stopped.wait(POLL_SECONDS)
        for flusher in flushers:
            self._leave(flusher)
        self._log("Stopped.")

    def _leave(self, flusher: Flusher) -> None:
        try:
            flusher.leave()
        except StoreError as error:  # its name is forgotten later, by another
            self.stderr.write(str(error))

    # --- by hand ----------------------------------------------------------------------------------------------------

    def _flush_all(self) -> None:
        for cache in registered.values():
            flusher = Flusher(cache)
            began = time.monotonic()
            taken = flusher.flush_all()
            flusher.leave()
            self._log(f"{cache.name}: wrote {taken} in {time.monotonic() - began:.1f} s.")
        worker_heartbeat.send_robust(None)

    def _show_state(self) -> None:
        for cache in registered.values():
            found = cache.state()
            self.stdout.write(
                f"{found.name} in {found.region}: {found.depth} wait, the oldest for {found.oldest_seconds:.0f} s; "
                f"{found.taken} taken; {counted(found.workers, 'worker')}; {counted(found.dead, 'dead letter')}"
                + (f"; not buffering: {found.problem}" if found.problem else "")
            )

    def _list_dead(self) -> None:
        for letter in dead_letters():
            self.stdout.write(f"{letter.created_at:%Y-%m-%d %H:%M:%S} {letter.region} {letter}\n    {letter.payload}")
        self.stdout.write(f"{counted(dead_letters().count(), 'dead letter')}.")

    def _retry_dead(self) -> None:
        written = 0
        for letter in dead_letters().filter(buffer__in=registered):
            cache = registered[letter.buffer]
            try:
                with transaction.atomic():
                    cache.writer([cache.decode(letter.payload.encode())])
                    letter.delete()
            except cache.refusals as error:
                self.stderr.write(f"{letter.entry} is still refused: {error}")
            else:
                written += 1
        self.stdout.write(f"Wrote {written}; {counted(dead_letters().count(), 'dead letter')} left.")

    def _log(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def counted(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def buffers_exist() -> bool:
    """Say whether anything may be buffered in this region; a region that does not answer yet may have buffers."""
    try:
        return not all(isinstance(cache.buffer, NoBuffer) for cache in registered.values())
    except StoreError:
        return True


def reach_database() -> None:
    """Connect where the connection was lost, before anything is taken. Raise OperationalError."""
    connection = connections["default"]
    connection.close_if_unusable_or_obsolete()
    connection.ensure_connection()
