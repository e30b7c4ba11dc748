"""A session engine (SESSION_ENGINE = "cacheops.sessions"): the region's cache answers, the database stands behind it.

A session of a user lives under `user:{id}:session:{sid}`, one of nobody known under `anonymous:session:{sid}`, for the
TTL strategy user_session from its last use. The session's own key, which the cookie holds, names the user too, so that
one look-up is enough: `{id in base 36}.{sid}`. It changes when somebody signs in. It is a secret; the id in it is not.

Cached copies are read from the database anew once in a user_session, however often they are used. So a copy in a
region that could not be told of a change ends, too.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, router
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.http import base36_to_int, int_to_base36

from cacheops.conf import conf
from cacheops.patterns.batch import BatchCacheOperations
from cacheops.patterns.keys import CacheKeyBuilder
from cacheops.regions.database_away import away_databases, count_unchecked
from cacheops.regions.elsewhere import elsewhere

SID_LENGTH = 26  # 134 random bits; with an id of 64 bits before it, it fits into the 40 characters of Django's table
STRATEGY = "user_session"
GONE = "gone"  # a session that was ended: a reader that had it from the database just before can't bring it back

_KEY = re.compile(r"(?:[1-9a-z][0-9a-z]{0,12}\.)?[0-9a-z]{8,32}")  # of 32: Django's other engines made it


__all__ = ["SessionStore", "end_sessions_of"]


class SessionStore(DatabaseStore):
    """One browser's session."""

    _get_session: Callable[..., dict[str, Any]]  # Django's

    def __init__(self, session_key: str | None = None) -> None:
        self._cache: Any = caches[settings.SESSION_CACHE_ALIAS]
        super().__init__(session_key)

    def _validate_session_key(self, key: Any) -> bool:
        return isinstance(key, str) and _KEY.fullmatch(key) is not None

    def _get_new_session_key(self) -> str:
        """Return a key that names the user; nobody asks whether it is there, as no two are ever alike."""
        owner = owner_in(self._get_session(no_load=True))
        sid = get_random_string(SID_LENGTH, VALID_KEY_CHARS)
        return sid if owner is None else f"{int_to_base36(owner)}.{sid}"

    def load(self) -> dict[str, Any]:
        """Return the session's data from the cache, else from the database; a look keeps it in the cache for longer."""
        if self.session_key is None:
            return {}
        key, ttl = cache_key(self.session_key), conf.ttl.get_ttl(STRATEGY)
        held = self._cache.get_and_touch(key, ttl)
        if held == GONE:
            self._session_key = None
            return {}
        now = time.time()
        if held is not None and held["read"] <= now < held["read"] + ttl and now < held["ends"]:
            return dict(held["data"])
        try:
            return self._load_anew(key, ttl, outdated=held is not None)
        except (OperationalError, InterfaceError) as error:
            database = router.db_for_write(self.model) or DEFAULT_DB_ALIAS
            if held is None or now >= held["ends"] or not away_databases.is_served_without(database, error):
                raise
            count_unchecked()
            return dict(held["data"])

    def _load_anew(self, key: str, ttl: float, *, outdated: bool) -> dict[str, Any]:
        row = self._get_session_from_db()
        if row is None:
            return {}
        data: dict[str, Any] = self.decode(row.session_data)
        entry = entry_of(data, row.expire_date.timestamp())
        if outdated:
            self._cache.set(key, entry, ttl)
            if self._get_session_from_db() is None:  # it ended meanwhile, and this has overwritten its mark
                self._cache.set(key, GONE, ttl)
                return {}
        else:
            self._cache.add(key, entry, ttl)
        return data

    def _get_session_from_db(self) -> Any:
        """Return the row from the primary database: a replica may not know yet that somebody has signed out."""
        row = (
            self.model.objects.using(router.db_for_write(self.model))
            .filter(session_key=self.session_key, expire_date__gt=timezone.now())
            .first()
        )
        if row is None:
            self._session_key = None
        return row

    def save(self, must_create: bool = False) -> None:
        """Write the database, then this region's cache; the other regions' copies go, in a moment."""
        if self.session_key is None:
            self.create()
            return
        data = self._get_session(no_load=must_create)
        old = self.session_key
        signed_in = not must_create and owner_in(data) not in (None, owner_of(old))
        if signed_in:  # the key names the user, and one that was known before they signed in is no secret of theirs
            self._session_key = self._get_new_session_key()
        super().save(must_create=must_create or signed_in)
        entry = entry_of(data, self.get_expiry_date().timestamp())
        key = cache_key(self.session_key)
        self._cache.set(key, entry, conf.ttl.get_ttl(STRATEGY))
        if signed_in:
            self.delete(old)
        elif not must_create:
            tell_others(lambda cache: cache.delete(key))

    def delete(self, session_key: str | None = None) -> None:
        """End a session, here at once and elsewhere in a moment: this one, or another by its key."""
        key = session_key or self.session_key
        if key is None or not self._validate_session_key(key):
            return
        super().delete(key)
        mark = cache_key(key), GONE, conf.ttl.get_ttl(STRATEGY)
        self._cache.set(*mark)
        if owner_of(key):  # nothing is gained by the session of nobody known
            tell_others(lambda cache: cache.set(*mark))

    async def aload(self) -> dict[str, Any]:
        return await sync_to_async(self.load)()

    async def asave(self, must_create: bool = False) -> None:
        await sync_to_async(self.save)(must_create)

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)

    async def _aget_new_session_key(self) -> str:
        return await sync_to_async(self._get_new_session_key)()


def end_sessions_of(user_id: int) -> int:
    """Sign a user out everywhere; return how many sessions there were. Only this region's servers are waited for."""
    store = SessionStore()
    own = store.model.objects.using(router.db_for_write(store.model)).filter(
        session_key__startswith=f"{int_to_base36(user_id)}."
    )
    gone = {cache_key(key): GONE for key in own.values_list("session_key", flat=True)}
    own.delete()
    BatchCacheOperations(store._cache).batch_set(gone, STRATEGY)
    tell_others(lambda cache: BatchCacheOperations(cache).batch_set(gone, STRATEGY))
    return len(gone)


def tell_others(act: Callable[[BaseCache], Any]) -> None:
    """Have the caches of the other regions told, which nobody waits for; one that does not answer is not told."""
    for region in conf.regions:
        if region != conf.local_region:
            elsewhere.tell(region, partial(_tell, region, act))


def _tell(region: str, act: Callable[[BaseCache], Any]) -> None:
    act(caches[region])


def cache_key(session_key: str) -> str:
    """Return the key under which a session lives in the cache."""
    owner, _, sid = session_key.rpartition(".")
    if owner:
        return CacheKeyBuilder.user_session_key(base36_to_int(owner), sid)
    return CacheKeyBuilder.anonymous_session_key(sid)


def owner_of(session_key: str) -> int | None:
    """Return the id of the user whom a session's key names."""
    owner = session_key.rpartition(".")[0]
    return base36_to_int(owner) if owner else None


def owner_in(data: dict[str, Any]) -> int | None:
    """Return the id of the user who has signed in; None for nobody, and for ids that are no whole numbers."""
    owner = str(data.get(SESSION_KEY, ""))
    return int(owner) if owner.isascii() and owner.isdigit() and int(owner) > 0 else None


def entry_of(data: dict[str, Any], ends: float) -> dict[str, Any]:
    """Return what the cache holds of a session: its data, when it was read, and when it ends (seconds, epoch)."""
    return {"data": data, "read": time.time(), "ends": ends}
