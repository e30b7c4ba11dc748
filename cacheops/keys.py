"""The names of keys. Everything about one table lies in one slot of a cluster: the table's name is the hash tag.

    PREFIX:{DB.TABLE}:e:DIGEST   an entry
    PREFIX:{DB.TABLE}:t:NAME     a tag; the generation is the tag with the reserved name "*"
    PREFIX:{DB.TABLE}:r          the table's registry: schemes and pending writers
    PREFIX:{DB.TABLE}:l:DIGEST   held by the loader of an entry
    PREFIX:{DB.TABLE}:o          versions that were replaced lately, where readers take outdated entries

DB is the database's alias, so that two databases may hold tables of one name. Tags and registries carry no version of
the code: during a rollout both versions must see each other's writes. Entries do: their digest begins with it.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from cacheops.exceptions import InvalidKey

GENERATION = "*"
DIGEST_BYTES = 16  # 128 bits: no two queries share a key by accident


@dataclass(frozen=True, slots=True)
class TableKeys:
    """The keys of one table of one database."""

    base: str
    registry: str = field(init=False, compare=False)
    outdated: str = field(init=False, compare=False)
    generation: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "registry", f"{self.base}r")
        object.__setattr__(self, "outdated", f"{self.base}o")
        object.__setattr__(self, "generation", f"{self.base}t:{GENERATION}")

    @staticmethod
    def of(prefix: str, database: str, table: str) -> "TableKeys":
        return _keys_of(prefix, database, table)

    def tag(self, name: str) -> str:
        return f"{self.base}t:{name}"

    def entry(self, digest: str) -> str:
        return f"{self.base}e:{digest}"

    def loader(self, digest: str) -> str:
        return f"{self.base}l:{digest}"


@lru_cache(maxsize=4096)
def _keys_of(prefix: str, database: str, table: str) -> TableKeys:
    return TableKeys(f"{prefix}:{{{database}.{escaped(table)}}}:")


def escaped(table: str) -> str:
    """Return a table's name without what has a meaning in a key: braces, quotes, spaces, control characters."""
    if table.replace("_", "a").replace(".", "a").isalnum() and table.isascii():
        return table
    return hashlib.blake2b(table.encode(), digest_size=12).hexdigest()


def digest(data: bytes) -> str:
    """Return 128 bits of BLAKE2b (RFC 7693) as 22 characters of base64url (RFC 4648)."""
    return text_of(hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest())


def text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw)[:22].decode()


def texts_of(raw: Sequence[bytes]) -> list[str]:
    """Return what `text_of` does for each of many digests, in a tenth of the time."""
    # Two bytes more make whole groups of base64: four letters for three bytes.
    text = base64.urlsafe_b64encode(b"".join([one + b"\0\0" for one in raw])).decode()
    return [text[start : start + 22] for start in range(0, len(text), 24)]


# --- Keys by name: a program's own entries ----------------------------------------------------------------------------

MAX_KEY_LENGTH = 200  # characters: with an alias' prefix and version it stays within the 250 that Django allows
_UNSAFE = re.compile(r"[^!-~]|[*?\[\]\\{}]")  # not printable ASCII; or with a meaning in patterns, or for a cluster
ENTITY_TYPES = ("device", "location", "user")
_canonical = msgspec.json.Encoder(order="deterministic")


def checked_key(key: str) -> str:
    """Return a key that every cache takes. Raise InvalidKey, which says what is wrong with it."""
    if not isinstance(key, str) or not key:
        raise InvalidKey(f"A key must be text that is not empty, not {shortened(key)}.")
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidKey(
            f"The key {shortened(key)} has {len(key):,} characters, {MAX_KEY_LENGTH} are allowed: put a digest of "
            "what is long into it (cacheops.keys.filter_digest)."
        )
    if found := _UNSAFE.search(key):
        raise InvalidKey(
            f"The key {shortened(key)} holds {found[0]!r}: use printable ASCII without spaces, *, ?, [, ], {{, }} and "
            "backslashes, or a digest of the text (cacheops.keys.filter_digest)."
        )
    return key


def shortened(value: object) -> str:
    text = repr(value[:60]) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= 62 else f"{text[:60]}…"


def filter_digest(filters: object) -> str:
    """Return 128 bits of the canonical form of filters, as 22 characters: equal filters, equal digest.

    Filters are a mapping, a sequence, a dataclass, a plain value, or JSON text, which means what it holds. The order
    and the spacing of a mapping's names do not count. Raise InvalidKey for what has no canonical form.
    """
    try:
        if isinstance(filters, str):
            filters = _read(filters)
        return digest(_canonical.encode(filters))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidKey(
            f"Filters {shortened(filters)} have no canonical form ({error}): use text, numbers, dates, UUIDs, and "
            "lists and mappings of them."
        ) from error


def _read(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return ("text", text)  # no JSON: a name, a query string


class CacheKeyBuilder:
    """The specification's keys. Each method returns a key; parts that a key can't hold raise InvalidKey.

    Ids are integers above 0. Moments are datetimes, or ISO 8601 text: one moment has one key, whatever its zone.
    Other parts are words without colons, so that no two lists of parts make one key.
    """

    @staticmethod
    def device_current_key(device_id: int) -> str:
        """Return the key of a device as it is now."""
        return f"device:{checked_id(device_id)}:current"

    @staticmethod
    def device_data_key(device_id: int, timestamp: str | datetime, end: str | datetime | None = None) -> str:
        """Return the key of a device's readings at a moment, or from it to an end."""
        moments = [timestamp] if end is None else [timestamp, end]
        return ":".join([f"device:{checked_id(device_id)}:data", *map(moment_part, moments)])

    @staticmethod
    def device_summary_key(device_id: int, period: str) -> str:
        """Return the key of a summary of a device over a period, such as 24h."""
        return f"device:{checked_id(device_id)}:summary:{word(period)}"

    @staticmethod
    def location_devices_key(location_id: int) -> str:
        """Return the key of the list of a location's devices."""
        return f"location:{checked_id(location_id)}:devices"

    @staticmethod
    def user_session_key(user_id: int, session_id: str) -> str:
        """Return the key of a session of a user."""
        return f"user:{checked_id(user_id)}:session:{word(session_id)}"

    @staticmethod
    def anonymous_session_key(session_id: str) -> str:
        """Return the key of a session of nobody known."""
        return f"anonymous:session:{word(session_id)}"

    @staticmethod
    def analytics_key(metric: str, time_window: str, filters: object = None) -> str:
        """Return the key of a computed result; `filters` as `filter_digest` takes them."""
        return f"analytics:{word(metric)}:{word(time_window)}:{filter_digest(filters)}"

    @staticmethod
    def get_invalidation_patterns(entity_type: str, entity_id: int) -> list[str]:
        """Return the patterns of the keys that belong to one device, location or user, and to no other.

        What only depends on it (a location's list, analytics over filters) bears no trace of it in its key: such
        entries record what they depend on when they are filled, and go by their tags.
        """
        if entity_type not in ENTITY_TYPES:
            known = ", ".join(ENTITY_TYPES)
            raise InvalidKey(f"{shortened(entity_type)} has no keys of its own: use one of {known}.")
        return [f"{entity_type}:{checked_id(entity_id)}:*"]


def checked_id(number: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidKey(f"{shortened(number)} is no id: use the primary key, an integer above 0.")
    return number


def word(text: str) -> str:
    """Return a part of a key. Raise InvalidKey for a colon, which separates parts, and for what no key may hold."""
    if ":" in checked_key(text):
        raise InvalidKey(f"The part {shortened(text)} of a key holds a colon, which separates parts: leave it out.")
    return text


def moment_part(moment: str | datetime) -> str:
    """Return a moment as keys hold it: ISO 8601, in UTC where it has a zone."""
    try:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return found.isoformat() if found.tzinfo is None else found.astimezone(UTC).isoformat()
    except (AttributeError, ValueError, OverflowError) as error:
        raise InvalidKey(
            f"{shortened(moment)} is no moment: use a datetime, or text such as 2024-01-15T10:00:00+00:00."
        ) from error
