"""Run Django's own suite in this process: `python -m tests.upstream.django_suite FOLDER LABEL...`, see settings.py."""

import importlib
import os
import sys
import tempfile
from pathlib import Path

ENGINE_APPS = ("cacheops", "cacheops.fastpath")


def main(tests: str, *labels: str) -> int:
    os.chdir(tests)
    sys.path.insert(0, tests)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.upstream.settings"
    with tempfile.TemporaryDirectory(prefix="django_") as scratch:
        tempfile.tempdir = os.environ["TMPDIR"] = scratch
        runtests = importlib.import_module("runtests")
        from django.conf import settings

        if settings.CACHED:
            runtests.ALWAYS_INSTALLED_APPS.extend(ENGINE_APPS)
        if os.environ.get("UPSTREAM_COMMITTED"):
            importlib.import_module("tests.upstream.committed").install()
        options = dict.fromkeys(
            ("interactive", "failfast", "keepdb", "reverse", "debug_sql", "pdb", "buffer", "timing", "shuffle"), False
        )
        nothing = dict.fromkeys(("tags", "exclude_tags", "test_name_patterns", "start_at", "start_after"))
        failures: int = runtests.django_tests(verbosity=1, test_labels=list(labels), parallel=1, **options, **nothing)
        return bool(failures)


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).resolve()), *sys.argv[2:]))
