"""What RegionCache and MemoryCache do alike."""

from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from cacheops.backends.glob import warn_of_unsafe_key

MISSING: Any = object()  # no value can be this: None is a value


class RegionCacheMixin:
    """Quick key checks, and a get_or_set that asks once: Django's reads the value back, and so counts two look-ups."""

    get: Any
    aget: Any
    add: Any
    aadd: Any

    def validate_key(self, key: str) -> None:
        warn_of_unsafe_key(key)

    def get_or_set(
        self, key: Any, default: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        value = self.get(key, MISSING, version=version)
        if value is not MISSING:
            return value
        if callable(default):
            default = default()
        if self.add(key, default, timeout=timeout, version=version):
            return default
        return self.get(key, default, version=version)  # another was faster: all get the same value

    async def aget_or_set(
        self, key: Any, default: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        value = await self.aget(key, MISSING, version=version)
        if value is not MISSING:
            return value
        if callable(default):
            default = default()
        if await self.aadd(key, default, timeout=timeout, version=version):
            return default
        return await self.aget(key, default, version=version)
