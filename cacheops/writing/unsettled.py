"""Writes whose outcome is not known yet: the server was frozen when the commit was sent, and may do it when it wakes.

Their marks would run out before (R9). So they are renewed until the server answers, and stand once more from then on.
"""

import threading

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.exceptions import StoreError
from cacheops.instrumentation.minute_log import minute_log
from cacheops.regions.silence import silent_databases
from cacheops.writing.intent import WriteIntent

ROUNDS = 3  # in which marks are renewed while they stand


class UnsettledWrites(Component):
    """The writes of this process that wait for their server, in a thread that lives as long as there are some."""

    def __init__(self) -> None:
        self.intents: list[WriteIntent] = []
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, intent: WriteIntent) -> None:
        """Renew a write's marks until its database answers."""
        with self._lock:
            self.intents.append(intent)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, args=(self._closed,), daemon=True)
                self._thread.start()

    def _run(self, closed: threading.Event) -> None:
        while not closed.wait(conf.mark_seconds / ROUNDS):
            self.renew()
            with self._lock:
                if not self.intents:
                    self._thread = None
                    return

    def renew(self) -> None:
        """Renew all marks; let those go whose database has answered before."""
        for intent in list(self.intents):
            is_last = not silent_databases.is_away(intent.database)  # asked first: the marks are to follow
            try:
                missed = intent.place()
            except StoreError as error:
                minute_log.warning(
                    ("renewal", intent.database),
                    "The marks of a write whose outcome is not known could not be renewed: %s",
                    error,
                )
                continue
            if is_last and not missed:
                with self._lock:
                    self.intents.remove(intent)

    def close(self) -> None:
        self._closed.set()


unsettled_writes = register_component(UnsettledWrites())


def keep_if_unsettled(intent: WriteIntent) -> None:
    """Renew the marks of a write whose commit has failed, if its server was silent."""
    if silent_databases.is_away(intent.database):
        unsettled_writes.keep(intent)
