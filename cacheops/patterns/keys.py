"""Keys by name, of a program's own entries: the specification's, and digests of filters."""

from datetime import UTC, datetime

import msgspec

from cacheops.exceptions import InvalidKey, shortened
from cacheops.protocol.keys import checked_key, digest

ENTITY_TYPES = ("device", "location", "user")


_canonical = msgspec.json.Encoder(order="deterministic")


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
        """Return the key of an anonymous session."""
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
