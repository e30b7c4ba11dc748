"""The Lua scripts of the store on Redis; each file describes its KEYS and ARGV."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from cacheops.protocol.tags import VERSION_BYTES

Command: TypeAlias = tuple[Any, ...]

MAX_RUN = 1000  # keys in one MGET: some 0.2 ms of the server's time, in which it serves no other client


class Script:
    """One Lua file, after those that it begins with."""

    def __init__(self, *names: str) -> None:
        folder = Path(__file__).parent / "lua"
        self.source = "".join([(folder / f"{name}.lua").read_text(encoding="utf-8") for name in names])
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def command(self, keys: Sequence[str], *arguments: Any) -> Command:
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)


LEASE, LEASE_MANY, MARK, CLEAR, INVALIDATE, FILL_MANY, NOTE, OUTDATED = SCRIPTS = [
    Script("tag", "leasing", "lease"),
    Script("tag", "leasing", "lease_many"),
    *[Script("tag", name) for name in ("mark", "clear", "invalidate")],
    *[Script(name) for name in ("fill_many", "note", "outdated")],
]

FOLLOW, REACHED = [Script("tag", name) for name in ("follow", "reached")]  # of relays alone

_PURGE_TAG = Script("purge_tag")


def purge_tag(key: bytes) -> Command:
    """Return the call that deletes a tag of which no writer's mark stands: EVAL, as its server is a new one."""
    return ("EVAL", _PURGE_TAG.source, 1, key, VERSION_BYTES)
