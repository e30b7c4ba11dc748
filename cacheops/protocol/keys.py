"""The names of keys. Everything about one table lies in one slot of a cluster: the table's name is the hash tag.

    PREFIX:{DB.TABLE}:e:DIGEST   an entry
    PREFIX:{DB.TABLE}:t:NAME     a tag; the generation is the tag with the reserved name "*"
    PREFIX:{DB.TABLE}:r          the table's registry: schemes and pending writers
    PREFIX:{DB.TABLE}:l:DIGEST   held by the loader of an entry
    PREFIX:{DB.TABLE}:q:DIGEST   how an entry was loaded, where that is kept (reading/recipes.py)
    PREFIX:{DB.TABLE}:o          versions that were replaced lately, where readers take outdated entries
    PREFIX:{DB.TABLE}:p          in a follower region: the position up to which every commit is invalidated here
    PREFIX:{DB.TABLE}:f          the same, as its relay has noted it: kept when nobody may go by it any more

DB is the database's name, ALIAS@IDENTITY (databases.py): test databases, clones and other sites have keys of their own.
Tags and registries carry no version of the code: during a rollout both versions must see each other's writes. Entries
do: their digest begins with it.

Keys that belong to no table have the same form, with one of `SPACES` in the place of the database. `parse` is the only
reader of names.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cacheops.engine import memo
from cacheops.exceptions import InvalidKey, shortened

ENTRY, TAG, REGISTRY, LOADER, OUTDATED = "e", "t", "r", "l", "o"  # kinds of a table's keys
POSITION, FOLLOWED = "p", "f"
RECIPE = "q"
GENERATION = "*"
IDENTITY = "@"  # between a database's alias and what tells it from others

FUNCTIONS = "-"  # results of cached functions; TABLE is the function's name
BY_NAME = "+"  # values under keys of a program's own (cache-aside); TABLE is the key's namespace
METRICS, USAGE, WRITE_BEHIND = "metrics", "usage", "write-behind"  # the engine's own; TABLE is a time bucket or a name
RELAY = "relay"  # how far a region's relay is; TABLE is the database's name
SPACES = frozenset({FUNCTIONS, BY_NAME, METRICS, USAGE, WRITE_BEHIND, RELAY})

DIGEST_BYTES = 16  # 128 bits: no two queries share a key by accident


@dataclass(frozen=True, slots=True)
class TableKeys:
    """The keys of one table of one database. `table` is its name as it stands in them."""

    base: str
    table: str = field(compare=False)
    registry: str = field(init=False, compare=False)
    outdated: str = field(init=False, compare=False)
    generation: str = field(init=False, compare=False)
    position: str = field(init=False, compare=False)
    followed: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "registry", f"{self.base}{REGISTRY}")
        object.__setattr__(self, "outdated", f"{self.base}{OUTDATED}")
        object.__setattr__(self, "generation", f"{self.base}{TAG}:{GENERATION}")
        object.__setattr__(self, "position", f"{self.base}{POSITION}")
        object.__setattr__(self, "followed", f"{self.base}{FOLLOWED}")

    @staticmethod
    def of(prefix: str, database: str, table: str) -> "TableKeys":
        return _keys_of(prefix, database, table)

    def tag(self, name: str) -> str:
        return f"{self.base}{TAG}:{name}"

    def entry(self, digest: str) -> str:
        return f"{self.base}{ENTRY}:{digest}"

    def recipe(self, digest: str) -> str:
        return f"{self.base}{RECIPE}:{digest}"

    def loader(self, digest: str) -> str:
        return f"{self.base}{LOADER}:{digest}"


@memo(4096)
def _keys_of(prefix: str, database: str, table: str) -> TableKeys:
    name = escaped(table)
    return TableKeys(base_of(prefix, database, name), name)


def base_of(prefix: str, database: str, table: str) -> str:
    """Return what the keys of one table begin with: the prefix and the hash tag."""
    return f"{prefix}:{{{database}.{table}}}:"


def start_of(prefix: str, database: str = "") -> str:
    """Return what all keys of a prefix begin with, or those of one database or space, for a scan."""
    return f"{prefix}:{{{database}." if database else f"{prefix}:{{"


def alias_in(database: str) -> str:
    """Return the alias of a database by its name in keys."""
    return database.partition(IDENTITY)[0]


class ParsedKey(NamedTuple):
    """A key by its parts. `database` may be one of `SPACES`; `name` is a tag's, a digest, or "" where there is none."""

    prefix: str
    database: str
    table: str
    kind: str
    name: str

    @property
    def alias(self) -> str:
        """The alias of the database, or the space."""
        return alias_in(self.database)

    @property
    def keys(self) -> TableKeys:
        """The keys of the same table."""
        return TableKeys.of(self.prefix, self.database, self.table)


_KEY = re.compile(r"([^{}]*):\{([^{}.]+)\.([^{}]*)\}:([a-z])(?::(.*))?", re.DOTALL)


def parse(key: str) -> ParsedKey | None:
    """Return the parts of a key of the engine's, None for any other text."""
    found = _KEY.fullmatch(key)
    return ParsedKey(*found.groups("")) if found else None


def escaped(table: str) -> str:
    """Return a table's name without what has a meaning in a key: braces, quotes, spaces, control characters."""
    if table.replace("_", "a").replace(".", "a").isalnum() and table.isascii():
        return table
    return hashlib.blake2b(table.encode(), digest_size=12).hexdigest()


def digest(data: bytes) -> str:
    """Return 128 bits of BLAKE2b (RFC 7693) as 22 characters of base64url (RFC 4648)."""
    return text_of(hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest())


_URL_SAFE = bytes.maketrans(b"+/", b"-_")  # RFC 4648, section 5


def text_of(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False)[:22].translate(_URL_SAFE).decode()


def texts_of(raw: Sequence[bytes]) -> list[str]:
    """Return what `text_of` does for each of many digests, in a tenth of the time."""
    # Two bytes more make whole groups of base64: four letters for three bytes.
    text = base64.urlsafe_b64encode(b"".join([one + b"\0\0" for one in raw])).decode()
    return [text[start : start + 22] for start in range(0, len(text), 24)]


# --- Keys by name: a program's own entries ----------------------------------------------------------------------------

MAX_KEY_LENGTH = 200  # characters: with an alias' prefix and version it stays within the 250 that Django allows
_UNSAFE = re.compile(r"[^!-~]|[*?\[\]\\{}]")  # not printable ASCII; or with a meaning in patterns, or for a cluster


def checked_key(key: str) -> str:
    """Return a key that every cache takes. Raise InvalidKey, which says what is wrong with it."""
    if not isinstance(key, str) or not key:
        raise InvalidKey(f"A key must be text that is not empty, not {shortened(key)}.")
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidKey(
            f"The key {shortened(key)} has {len(key):,} characters, {MAX_KEY_LENGTH} are allowed: put a digest of "
            "what is long into it (cacheops.patterns.keys.filter_digest)."
        )
    if found := _UNSAFE.search(key):
        raise InvalidKey(
            f"The key {shortened(key)} holds {found[0]!r}: use printable ASCII without spaces, *, ?, [, ], {{, }} and "
            "backslashes, or a digest of the text (cacheops.patterns.keys.filter_digest)."
        )
    return key
