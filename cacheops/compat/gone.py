"""Names that django-cacheops exports and this engine does not, and what to write instead."""

GONE = {
    "FileCache": "Django's cache in files: an alias in CACHES, or `file_cache`",
    "RedisCache": "django.core.cache.caches, or `cache`",
    "install_cacheops": "'cacheops' in INSTALLED_APPS, which installs it",
    "queue_when_in_transaction": "django.db.transaction.on_commit; invalidations wait for the commit by themselves",
    "reap_conjs": "nothing: no keys are left behind that would have to be reaped",
    "redis_client": "cacheops.redis.OptimizedRedisClient.of(ALIAS).client",
}


def refuse(name: str) -> None:
    """Raise ImportError for a name that is gone."""
    if name in GONE:
        raise ImportError(f"cacheops has no {name}, as django-cacheops has. Use {GONE[name]}.")
