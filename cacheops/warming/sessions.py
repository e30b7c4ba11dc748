"""Bringing people's sessions back into a region's cache, from the database behind it (cacheops/sessions.py).

Whoever ends a session deletes its row, then marks its key. So a row that is still there after the session was stored
ends by a mark that comes later; one that is gone by then is marked here. A mark that stands is never overwritten.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.db import router
from django.db.models import Q
from django.utils import timezone
from django.utils.http import int_to_base36

from cacheops import sessions
from cacheops.warming.values import Corrections, Values

ENGINE = "cacheops.sessions"
PEOPLE = 50  # in one query: each is a condition of its own
MOST_SESSIONS = 20  # of one person, the latest begun first


class PeoplesSessions:
    """The sessions of some users that have not expired."""

    def __init__(self, user_ids: Sequence[int]) -> None:
        self._store = sessions.SessionStore()
        self._rows: dict[str, tuple[str, Any]] = {}  # data and expiry by session key, as they were last seen
        self.session_keys = {sessions.cache_key(key): key for key in self._keys_of(user_ids)}

    def _living(self) -> Any:
        """Return the sessions that live: from the primary, as a replica may not know of an end yet."""
        model = self._store.model
        return model.objects.using(router.db_for_write(model)).filter(expire_date__gt=timezone.now())

    def _keys_of(self, user_ids: Sequence[int]) -> Iterator[str]:
        starts = [f"{int_to_base36(pk)}." for pk in user_ids]
        if not starts:
            return
        count = dict.fromkeys(starts, 0)
        mine = self._living().filter(reduce(or_, [Q(session_key__startswith=start) for start in starts]))
        for key in mine.order_by("-expire_date").values_list("session_key", flat=True):
            start = f"{key.partition('.')[0]}."
            count[start] += 1
            if count[start] <= MOST_SESSIONS:
                yield key

    def _read(self, keys: Iterable[str]) -> dict[str, tuple[str, Any]]:
        rows = self._living().filter(session_key__in=[self.session_keys[key] for key in keys])
        return {key: (data, ends) for key, data, ends in rows.values_list("session_key", "session_data", "expire_date")}

    def make(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the entries of sessions."""
        self._rows = self._read(keys)
        found = {}
        for key in keys:
            if row := self._rows.get(self.session_keys[key]):
                found[key] = sessions.entry_of(self._store.decode(row[0]), row[1].timestamp())
        return found

    def check(self, keys: Sequence[str]) -> Corrections:
        """Return what has become of sessions since they were read: ended ones are marked, others read when used."""
        now, before = self._read(keys), self._rows
        self._rows = now
        ended = {key: sessions.GONE for key in keys if self.session_keys[key] not in now}
        changed = [
            key for key in keys if key not in ended and now[self.session_keys[key]] != before[self.session_keys[key]]
        ]
        return Corrections(ended, changed)


def sessions_of(user_ids: Sequence[int]) -> Iterator[Values]:
    """Yield the tasks that restores the sessions of users; nothing where sessions are kept in another way."""
    if settings.SESSION_ENGINE != ENGINE:
        return
    for start in range(0, len(user_ids), PEOPLE):
        found = PeoplesSessions(user_ids[start : start + PEOPLE])
        if found.session_keys:
            yield Values(list(found.session_keys), found.make, sessions.STRATEGY, found.check)
