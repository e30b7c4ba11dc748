"""Run Wagtail's own suite in this process, on SQLite: `python -m tests.upstream.wagtail_suite LABEL...`.

The environment says how, as for settings.py. A project of 200 models: trees, translations, revisions, generic
relations, models that are swapped and inherited.
"""

import importlib
import os
import shutil
import sys
import warnings
from typing import Any

SETTINGS = "wagtail.test.settings"


def settings_from_environment() -> Any:
    """Return Wagtail's settings for its tests, with the engine and the runner of this run."""
    settings: Any = importlib.import_module(SETTINGS)
    cached = os.environ.get("UPSTREAM_CACHED") == "1"
    backend = f"{'cacheops.db' if cached else 'django.db'}.backends.sqlite3"
    settings.DATABASES = {"default": {"ENGINE": backend, "NAME": ":memory:"}}
    settings.TEST_RUNNER = "tests.upstream.recording.RecordingRunner"
    if cached:
        settings.INSTALLED_APPS += ["cacheops", "cacheops.fastpath"]
        settings.CACHES["rows"] = {"BACKEND": "cacheops.backends.MemoryCache"}
        settings.CACHEOPS = {"*.*": {"ops": "all", "timeout": 900}}
        settings.CACHEOPS_REGIONS = ("rows",)
        settings.CACHEOPS_METRICS_SECONDS = 0
    return settings


def main(*labels: str) -> int:
    warnings.simplefilter("ignore")  # what Wagtail's dependencies will change is not looked for here
    given = settings_from_environment()
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    import django
    from django.conf import settings
    from django.test.utils import get_runner

    django.setup()
    if os.environ.get("UPSTREAM_COMMITTED"):
        importlib.import_module("tests.upstream.committed").install()
    try:
        return bool(get_runner(settings)(verbosity=1, interactive=False).run_tests(labels or ["wagtail"]))
    finally:
        for folder in (given.STATIC_ROOT, given.MEDIA_ROOT):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
