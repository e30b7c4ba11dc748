"""The Lua scripts of the store on Redis; each file describes its KEYS and ARGV."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cacheops.stores.driver import Command


class Script:
    """One Lua file."""

    def __init__(self, name: str) -> None:
        self.source = (Path(__file__).parent / "lua" / f"{name}.lua").read_text(encoding="utf-8")
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def command(self, keys: Sequence[str], *arguments: Any) -> Command:
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)


LEASE, LEASE_MANY, FILL_MANY, MARK, CLEAR, INVALIDATE, NOTE, OUTDATED = SCRIPTS = [
    Script(name) for name in ("lease", "lease_many", "fill_many", "mark", "clear", "invalidate", "note", "outdated")
]
