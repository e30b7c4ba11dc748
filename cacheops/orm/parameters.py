"""Parameters of a query as bytes in its key: two that SQL may tell from one another never have the same.

MessagePack keeps exactly what it has a type for. Of what msgspec writes as a text or a number beside (a date, a
decimal, an enumeration's member) the type must be known from elsewhere; of what it writes with loss (a moment's zone,
which of two equal times of a day) nothing helps. A query's shape names the types of its parameters, so those of most
shapes are written as they are (`is_native`); all others are tagged (`tagged`).
"""

import datetime as dt
import enum
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from cacheops.encoding.values import pack
from cacheops.exceptions import UnencodableValue
from cacheops.orm.introspection import name_of

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})  # each is written as no other
_EXACT = frozenset({uuid.UUID, Decimal, dt.date, dt.timedelta})  # each is written as no other of them
_MOMENT, _UTC = dt.datetime, dt.UTC
_TUPLE, _DICT, _MEMBER, _ZONED = range(64, 68)  # beside the tags of values.py
_IN_ZONE = msgspec.msgpack.Ext(_ZONED, b"")  # begins a list that stands for a moment: packed, this takes longest

encode = msgspec.msgpack.Encoder().encode


def is_native(parameter: Any, *, is_typed: bool = True) -> bool:
    """Say whether MessagePack's own bytes tell parameters of this one's type from one another.

    Of a list: lists of items of its items' types, if these are known (`is_typed`).
    """
    if type(parameter) is list and not is_typed:
        return False
    kinds = {type(item) for item in parameter} if type(parameter) is list else {type(parameter)}
    kinds.discard(type(None))
    return kinds <= _PLAIN or kinds <= _EXACT or (len(kinds) == 1 and issubclass(kinds.pop(), enum.Enum))


def tagged(parameters: Sequence[Any]) -> list[Any]:
    """Return parameters as MessagePack can hold them, each as no other; raise UnencodableValue where there is no way.

    Moments in UTC are MessagePack's own timestamps, which those in other zones have beside their zones.
    """
    return [one if type(one) is _MOMENT and one.tzinfo is _UTC and not one.fold else _tagged(one) for one in parameters]


def _tagged(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is _MOMENT:
        zone = value.tzinfo
        if zone is None or (type(zone) is ZoneInfo and zone.key):
            return [_IN_ZONE, value, value.fold, zone and zone.key]
    if kind is list:
        return value if _PLAIN.issuperset(map(type, value)) else tagged(value)
    if kind is tuple:
        return msgspec.msgpack.Ext(_TUPLE, encode(tagged(value)))
    if kind is dict:
        return msgspec.msgpack.Ext(_DICT, encode([tagged(item) for item in value.items()]))
    if isinstance(value, enum.Enum):
        return msgspec.msgpack.Ext(_MEMBER, encode([name_of(kind), value.name, _tagged(value.value)]))
    if isinstance(getattr(value, "lower", None), str) or isinstance(getattr(value, "upper", None), str):
        raise UnencodableValue("A range of texts, which may stand for the time of the query.")
    return pack(value)
