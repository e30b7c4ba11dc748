"""How files are to be read: what the command's options say of them, and its defaults."""

import codecs
import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError

from devices.imports.cells import TIME_FORMATS
from locations.models import validate_timezone

DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}
SOME_TIME = datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)

# Where a value stands, or a time: a column by its name, or by its number from 1 as "#3".
Columns = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Limit:
    """How many rows may be bad: a number, or a share of the rows."""

    number: float = math.inf
    share: float = 1

    def is_exceeded(self, bad: int, rows: int) -> bool:
        return bad > self.number or bad > self.share * rows


@dataclass(frozen=True, slots=True)
class Options:
    """How text becomes cells and cells become readings. Two imports of a file that differ in these are two."""

    zone: tzinfo | None = None  # of times that name none
    encoding: str = ""  # "" recognises UTF-8, and UTF-16 by its mark
    delimiter: str = ""  # "" recognises one of tables.DELIMITERS
    decimal: str = ""  # "" takes a point, and a comma where it can be nothing else
    time_format: str = ""  # "" is ISO 8601
    skip: int = 0  # lines between the header, or the beginning where there is none, and the first reading
    columns: Columns = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)  # what all rows have in common: serial, metric, unit

    def signature(self) -> str:
        """Return the options as text, the same for the same reading."""
        return "\0".join(
            (
                str(self.zone),
                *(self.encoding, self.delimiter, self.decimal, self.time_format, str(self.skip)),
                *(f"{key}={value}" for pairs in (self.columns, self.fixed) for key, value in sorted(pairs.items())),
            )
        )


DEFAULTS = Options()
NO_LIMIT = Limit()


def pairs(texts: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Return `key=value,key=value` as a mapping; what holds a comma stands in double quotes. Raises ValueError."""
    found: dict[str, str] = {}
    for text in texts:
        for pair in next(csv.reader([text], skipinitialspace=True), []):
            key, equals, value = (part.strip() for part in pair.partition("="))
            if not equals or not value:
                raise ValueError(f"{pair!r} is not key=value, such as {known[0]}=…")
            if key not in known:
                raise ValueError(f"{key!r} is none of {', '.join(known)}")
            found[key] = value
    return found


def known_zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name, or of an offset such as +01:00. Raises ValueError."""
    if name[:1] in ("+", "-"):
        return known_offset(name)
    try:
        validate_timezone(name)
    except ValidationError as error:
        raise ValueError(error.messages[0]) from error
    return ZoneInfo(name)


def known_offset(text: str) -> tzinfo:
    """Return the zone of a fixed offset: that of a logger which is never put back. Raises ValueError."""
    try:
        zone = datetime.strptime(text, "%z").tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise ValueError(f"{text!r} is no offset, such as +01:00")
    return zone


def known_delimiter(name: str) -> str:
    """Return the character that a delimiter's name, or the character itself, stands for. Raises ValueError."""
    delimiter = DELIMITER_NAMES.get(name.lower(), name)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"{name!r} is no single character, nor one of {', '.join(DELIMITER_NAMES)}")
    return delimiter


def known_decimal(name: str) -> str:
    """Return the decimal sign that a name, or the sign itself, stands for. Raises ValueError."""
    sign = {"point": ".", "comma": ","}.get(name.lower(), name)
    if sign not in (".", ","):
        raise ValueError(f"{name!r} is neither point nor comma")
    return sign


def known_time_format(text: str) -> str:
    """Return a time format. Raises ValueError for one that would read no time, or read it wrong."""
    if text in TIME_FORMATS:
        return text
    if "%Z" in text:
        raise ValueError("%Z reads names of zones, which are not unique: use %z, or literal text and --timezone")
    if "%" not in text:
        raise ValueError(f"{text!r} has no directive such as %Y, nor is it one of {', '.join(TIME_FORMATS)}")
    datetime.strptime(SOME_TIME.strftime(text), text)
    return text


def known_limit(text: str) -> Limit:
    """Return the limit that "20" or "1.5%" is. Raises ValueError."""
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = -1
    if not 0 <= number < math.inf:
        raise ValueError(f"{text!r} is neither a number of rows, such as 20, nor a share, such as 1%")
    return Limit(share=number / 100) if text.endswith("%") else Limit(number=number)


def known_encoding(name: str) -> str:
    """Return an encoding's name. Raises ValueError for one that Python does not know, or that is none of text."""
    try:
        "°".encode().decode(codecs.lookup(name).name, errors="replace")
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"{name!r} is no encoding of text: use utf-8, cp1252, latin-1, utf-16 …") from error
    return name
