"""What RegionCache and MemoryCache share about keys: the check that Django asks for, and Redis' glob patterns."""

import re
import warnings

from django.core.cache.backends.base import MEMCACHE_MAX_KEY_LENGTH, CacheKeyWarning, memcache_key_warnings

_UNSAFE = re.compile("[\x00-\x20\x7f]")
_SPECIAL = re.compile(r"([\\*?\[\]])")
_TOKEN = re.compile(r"\\(?P<escaped>.)|\[(?P<negated>\^?)(?P<members>(?:\\.|[^\]\\])*)\]|(?P<plain>.)", re.DOTALL)


def warn_of_unsafe_key(key: str) -> None:
    """Warn (CacheKeyWarning) of a key that memcached would refuse; a regular expression spares the usual key's loop."""
    if len(key) > MEMCACHE_MAX_KEY_LENGTH or _UNSAFE.search(key):
        for warning in memcache_key_warnings(key):
            warnings.warn(warning, CacheKeyWarning, stacklevel=4)


def escaped(literal: str) -> str:
    """Return a glob pattern that matches just this text."""
    return _SPECIAL.sub(r"\\\1", literal)


def glob_regex(pattern: str) -> re.Pattern[str]:
    """Return the regular expression that matches what Redis' SCAN MATCH matches: * ? [abc] [^a] [a-z] and backslash."""
    return re.compile("".join(_translated(token) for token in _TOKEN.finditer(pattern)), re.DOTALL)


def _translated(token: re.Match[str]) -> str:
    if token["escaped"] is not None:
        return re.escape(token["escaped"])
    if token["members"] is not None:
        members = token["members"].replace("[", r"\[").replace("^", r"\^")
        return f"[{token['negated']}{members}]" if members else ("." if token["negated"] else "(?!)")
    return {"*": ".*", "?": "."}.get(token["plain"], re.escape(token["plain"]))
