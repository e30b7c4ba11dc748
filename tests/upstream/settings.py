"""Settings of Django's own suite, by the environment: UPSTREAM_ENGINE, UPSTREAM_CACHED, UPSTREAM_DATABASES."""

import json
import os

CACHED = os.environ.get("UPSTREAM_CACHED") == "1"
ENGINE = os.environ["UPSTREAM_ENGINE"]  # sqlite3, postgresql

DATABASES = {
    alias: {"ENGINE": f"{'cacheops.db' if CACHED else 'django.db'}.backends.{ENGINE}", **options}
    for alias, options in json.loads(os.environ["UPSTREAM_DATABASES"]).items()
}
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "tests.upstream.recording.RecordingRunner"

if CACHED:
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "rows": {"BACKEND": "cacheops.backends.MemoryCache"},
    }
    CACHEOPS = {"*.*": {"ops": "all", "timeout": 900}}
    CACHEOPS_REGIONS = ("rows",)
    CACHEOPS_METRICS_SECONDS = 0
