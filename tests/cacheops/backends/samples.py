"""Values that a cache must give back as they were."""

import datetime
import decimal
import uuid
from dataclasses import dataclass
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Sample:
    name: str
    numbers: tuple[int, ...]


VALUES = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -17,
    "beyond 64 bits": 2**80,
    "float": 1.5,
    "infinity": float("inf"),
    "text": "temperature \u00b0C \U0001f321",
    "empty text": "",
    "digits": "12",
    "bytes": b"\x00\xff12",
    "digits in bytes": b"12",
    "decimal": decimal.Decimal("21.50"),
    "naive time": datetime.datetime(2026, 2, 28, 23, 59, 59, 999_999),
    "aware time": datetime.datetime(2026, 2, 28, 12, tzinfo=datetime.UTC),
    "zoned time": datetime.datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("America/New_York")),
    "date": datetime.date(2026, 2, 28),
    "span": datetime.timedelta(days=-1, microseconds=1),
    "uuid": uuid.UUID(int=7),
    "list": [1, "two", None, [3.0]],
    "tuple": (1, (2, 3)),
    "set": {1, 2, 3},
    "dict": {"a": {1: None}, (1, 2): b"x"},
    "object": Sample("sensor", (1, 2, 3)),
    "1 MB": "x" * 1_000_000,
}
