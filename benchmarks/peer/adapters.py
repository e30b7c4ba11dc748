"""One adapter a peer: what it adds to the settings that all share."""

from typing import Any

Settings = dict[str, Any]

SHARED: Settings = {
    "DEBUG": False,
    "SECRET_KEY": "only-for-benchmarks",
    "USE_TZ": True,
    "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    "INSTALLED_APPS": ["django.contrib.contenttypes", "sensors"],
    "BENCHMARK_MANAGER": "django.db.models.Manager",
}
TIMEOUT = 3600  # seconds: nothing expires within a run
PATIENCE = 2.0  # seconds, for servers that share the processors with a thousand threads


def settings_for(peer: str, database: dict[str, Any], redis_url: str) -> Settings:
    """Return the settings of a peer's process."""
    base = {**SHARED, "DATABASES": {"default": {**database, "ENGINE": "django.db.backends.postgresql"}}}
    return ADAPTERS[peer](base, redis_url)


def plain(base: Settings, redis_url: str) -> Settings:
    return base


def floor(base: Settings, redis_url: str) -> Settings:
    return {**base, "FLOOR_REDIS": redis_url}


def cacheops(base: Settings, redis_url: str) -> Settings:
    return {
        **base,
        "INSTALLED_APPS": ["cacheops", *base["INSTALLED_APPS"]],
        "CACHEOPS_REDIS": redis_url,
        "CACHEOPS": {"*.*": {"ops": "all", "timeout": TIMEOUT}},
    }


def insideout(base: Settings, redis_url: str) -> Settings:
    return {**cacheops(base, redis_url), "CACHEOPS_INSIDEOUT": True}


def cachalot(base: Settings, redis_url: str) -> Settings:
    return {
        **base,
        "INSTALLED_APPS": [*base["INSTALLED_APPS"], "cachalot"],
        "CACHES": {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}},
        "CACHALOT_TIMEOUT": TIMEOUT,
    }


def engine(base: Settings, redis_url: str, client: str = "PairClient") -> Settings:
    database = {**base["DATABASES"]["default"], "ENGINE": "cacheops.db.backends.postgresql"}
    return {
        **base,
        "DATABASES": {"default": database},
        "INSTALLED_APPS": ["cacheops", *base["INSTALLED_APPS"]],
        "CACHES": {
            "default": {
                "BACKEND": "cacheops.backends.RegionCache",
                "LOCATION": redis_url.split(","),
                "OPTIONS": {"CLIENT_CLASS": f"cacheops.backends.{client}"},
            }
        },
        "CACHEOPS": {"*.*": {"ops": "all", "timeout": TIMEOUT}},
        "CACHEOPS_TIMEOUT": PATIENCE,
    }


def models(base: Settings, redis_url: str) -> Settings:
    found = engine(base, redis_url)
    return {**found, "INSTALLED_APPS": ["cacheops.fastpath", *found["INSTALLED_APPS"]]}


def near(base: Settings, redis_url: str) -> Settings:
    return {**models(base, redis_url), "CACHEOPS": {"*.*": {"ops": "all", "timeout": TIMEOUT, "level": "near"}}}


def ours(base: Settings, redis_url: str, client: str = "PairClient") -> Settings:
    return {**engine(base, redis_url, client), "BENCHMARK_MANAGER": "cacheops.queryset.CachedManager"}


def cluster(base: Settings, redis_url: str) -> Settings:
    return ours(base, redis_url, "ClusterClient")


ADAPTERS = {
    "plain": plain,
    "floor": floor,
    "cacheops": cacheops,
    "insideout": insideout,
    "cachalot": cachalot,
    "engine": engine,
    "models": models,
    "near": near,
    "ours": ours,
    "cluster": cluster,
}
