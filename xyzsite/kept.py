"""Whole answers, kept in this process while a request would read the same (docs/how-to/fast-pages.md).

An answer is kept for one visitor, address and minute, with the record of what was read for it. The visitor's session,
person and rights are checked before, with each request; the record is checked against the region.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.utils import timezone

from cacheops import ReadRecord, record_reads
from users.models import User
from xyzsite.parts import state

MAX_BYTES = 16 * 2**20  # of a process: answers, and what was read for them
# The one thing on a page that differs from request to request.
TOKEN = re.compile(rb'(?<=name="csrfmiddlewaretoken" value=")\w+(?=")')


class Kept(NamedTuple):
    """An answer in pieces, between which the CSRF token stands, its headers, and what was read for it."""

    pieces: tuple[bytes, ...]
    headers: dict[str, str]
    record: ReadRecord
    size: int

    def answer(self, request: HttpRequest) -> HttpResponse:
        token = get_token(request).encode() if len(self.pieces) > 1 else b""
        return HttpResponse(token.join(self.pieces), headers=self.headers)


class KeptAnswers:
    """The answers of a process, up to `max_bytes`; the least recently used go first. Threads share them."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._held: OrderedDict[Hashable, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: Hashable) -> Kept | None:
        """Return the answer of that name, if what was read for it is unchanged."""
        with self._lock:
            kept = self._held.get(name)
            if kept is not None:
                self._held.move_to_end(name)
        return kept if kept is not None and kept.record.is_unchanged() else None

    def keep(self, name: Hashable, kept: Kept) -> None:
        with self._lock:
            self._drop(name)
            if kept.size > self.max_bytes // 8:
                return
            self._held[name] = kept
            self.bytes += kept.size
            while self.bytes > self.max_bytes:
                self._drop(next(iter(self._held)))

    def clear(self) -> None:
        with self._lock:
            self._held.clear()
            self.bytes = 0

    def _drop(self, name: Hashable) -> None:
        held = self._held.pop(name, None)
        if held is not None:
            self.bytes -= held.size


kept_answers = KeptAnswers()


def kept_answer(request: HttpRequest, user: User, make: Callable[[], HttpResponse]) -> HttpResponse:
    """Return an answer that depends on the user, the address, the minute, and on what `make` reads of the cache."""
    if request.method != "GET":
        return make()
    name = name_of(request, user)
    found = kept_answers.find(name)
    if found is not None:
        return found.answer(request)
    with record_reads() as record:
        response = make()
    if record.is_whole and response.status_code == 200 and not response.streaming and not response.cookies:
        pieces = tuple(TOKEN.split(response.content))
        size = sum(map(len, pieces)) + record.size
        kept_answers.keep(name, Kept(pieces, dict(response.headers), record, size))
    return response


def name_of(request: HttpRequest, user: User) -> Hashable:
    """Return all that an answer depends on beside what is read for it.

    The user with every column, as the page's head shows some and rights come from others; the address as it was asked
    for; what htmx says of which part it wants; the minute, from which ages are written and windows are counted.
    """
    asked = tuple(item for item in request.META.items() if item[0].startswith("HTTP_HX_"))
    address = (request.META.get("HTTP_HOST"), request.get_full_path())
    return state(user), address, asked, int(timezone.now().timestamp() // 60)
