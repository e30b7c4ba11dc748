"""Settings of the harness's processes. The orchestrator names servers, regions and options in the environment."""

import environ

from xyzsite.settings.regions import caches_from_environment

env = environ.Env()
REGIONS = env.list("HARNESS_REGIONS")

SECRET_KEY = "only-for-tests"
USE_TZ = True
INSTALLED_APPS = ["cacheops", "tests.consistency"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": env.db_url("HARNESS_DATABASE") | {"ENGINE": "tests.consistency.backend"}}
if replica := env.str("HARNESS_REPLICA", default=""):
    DATABASES["replica"] = env.db_url_config(replica) | {"ENGINE": "cacheops.db.backends.postgresql"}
    DATABASE_ROUTERS = ["xyzsite.router.RegionRouter"]
    CACHEOPS_FOLLOWERS = {"replica": "default"}
for database in DATABASES.values():
    database["OPTIONS"] = {"connect_timeout": 5}
CACHES = caches_from_environment(env, env.str("XYZ_REGION"))

NEAR = env.float("HARNESS_NEAR", default=0.0)
CACHEOPS = {"*.*": {"ops": "all", "timeout": 60, "level": ("near", NEAR) if NEAR else "fresh"}}
FOLLOWING = env.list("HARNESS_FOLLOWING", default=[])  # regions
CACHEOPS_REGIONS = {"default": tuple(REGIONS), "replica": tuple(FOLLOWING)} if FOLLOWING else tuple(REGIONS)
CACHEOPS_LOCAL_REGION = env.str("XYZ_REGION")
CACHEOPS_WAIT_REPLICAS = env.int("HARNESS_WAIT_REPLICAS", default=0)
CACHEOPS_ON_UNREACHABLE = env.str("HARNESS_ON_UNREACHABLE", default="queue")
# Short, so that the rows of killed writers are soon cached again; far longer than any commit of the harness.
CACHEOPS_MARK_SECONDS = env.float("HARNESS_MARK_SECONDS", default=10.0)
CACHEOPS_BREAKER_RECOVERY = 0.5  # so that readers use the cache again soon after each fault
CACHEOPS_LOADER_SECONDS = 0.5

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {process} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": env.str("HARNESS_LOG"), "formatter": "line"}},
    "root": {"handlers": ["file"], "level": "WARNING"},
}
