"""Recipes: how an entry was loaded, kept beside it for one in CACHEOPS_VERIFY_SAMPLE, so that it can be loaded again.

A key is a digest, from which no query is known. `manage.py verify_cache` runs the statement of a recipe and compares
(monitoring/verify.py). A recipe is signed: who can write to the servers can't have a statement run.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from django.core.signing import BadSignature, Signer
from django.db import connections

from cacheops.conf import conf
from cacheops.databases import session_of
from cacheops.encoding import rows as codec
from cacheops.encoding.rows import Row
from cacheops.exceptions import CorruptEntry, UnencodableValue
from cacheops.protocol.keys import parse
from cacheops.reading.reader import Load
from cacheops.reading.request import Request
from cacheops.regions import Region
from cacheops.stores.base import EncodedEntry

MAX_SQL = 16_384  # characters: a longer statement is not kept

SALT = "cacheops.recipes"


class Recipe(msgspec.Struct, array_like=True, frozen=True):
    """One entry's statement, and what it depends on."""

    keys: list[str]  # the entry's, and its tags', as a look-up asks for them
    label: str
    alias: str
    session: bytes  # the key of the settings by which the database answered
    stale: float  # seconds for which its readers take it after its invalidation
    columns: int | None
    sql: str
    parameters: bytes  # as a row

    @property
    def values(self) -> Row:
        """Decode the parameters. Raise CorruptEntry."""
        rows = codec.decode(self.parameters).rows()
        return rows[0] if rows else ()


def is_sampled(digest: str) -> bool:
    """Return whether recipes are kept of entries with this digest."""
    sample = conf.verify_sample
    return sample > 0 and zlib.crc32(digest.encode()) % sample == 0


def with_recipe(region: Region, request: Request, load: Load) -> Sequence[Row]:
    """Load, and store the statement that was run, if the result is its rows, as of a query. Not awaited."""
    if request.columns is None or len(request.databases) != 1:  # a value that is made of rows, or rows of many shapes
        return load()
    run: list[tuple[str, Any]] = []
    with connections[request.databases[0]].execute_wrapper(partial(_record, run)):
        loaded = load()
    if len(run) == 1 and len(run[0][0]) <= MAX_SQL:
        _send(region, request, *run[0])
    return loaded


def _record(
    run: list[tuple[str, Any]], execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
) -> Any:
    """Note a statement (a database execute wrapper: topics/db/instrumentation)."""
    run.append((str(sql), params))
    return execute(sql, params, many, context)


def _send(region: Region, request: Request, sql: str, parameters: Any) -> None:
    try:
        packed = codec.encode([tuple(parameters or ())], b"", 0.0, 0.0, 0.0)
    except UnencodableValue:
        return
    alias = request.databases[0]
    recipe = Recipe(
        request.key_list(),
        request.label,
        alias,
        session_of(alias),
        request.profile.stale,
        request.columns,
        sql,
        packed,
    )
    signed = Signer(salt=SALT).sign(urlsafe_b64encode(msgspec.msgpack.encode(recipe)).decode()).encode()
    entry = EncodedEntry(request.keys.recipe(request.digest), signed, request.profile.timeout * (1 + conf.jitter))
    region.guard(urgent=True).send_nowait(partial(region.store.fill, [entry]), lambda outcome: None)


def read_recipe(key: str, payload: bytes) -> Recipe:
    """Return the recipe that a key holds. Raise CorruptEntry for what this project has not stored under it."""
    try:
        recipe = msgspec.msgpack.decode(urlsafe_b64decode(Signer(salt=SALT).unsign(payload.decode())), type=Recipe)
    except (BadSignature, UnicodeDecodeError, msgspec.DecodeError, ValueError) as error:
        raise CorruptEntry(f"{key} holds no recipe: {error}") from error
    entry, parsed = parse(recipe.keys[0]), parse(key)
    if entry is None or parsed is None or entry.keys.recipe(entry.name) != key:
        raise CorruptEntry(f"{key} holds another entry's recipe.")
    return recipe
