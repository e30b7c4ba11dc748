"""Run other projects' suites on our engines, and print what differs: `make upstream`.

    python -m tests.upstream                                         all of it
    python -m tests.upstream --database sqlite3 queries.tests        some tests of Django's on one database
    python -m tests.upstream --suite cacheops                        django-cacheops' own suite
    python -m tests.upstream --suite wagtail wagtail.images          Wagtail's, committed

Of Django's suite, `plain` runs it as it is, `committed` as committed.py says. Django's and Wagtail's (on SQLite) run
beside the same on Django's own engines.
Results stay in .upstream, one file a run.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django

from benchmarks import servers
from benchmarks.environments import interpreter
from tests.upstream.compared import Comparison, Run, listed
from tests.upstream.sources import HOME, unpacked

ROOT = Path(__file__).parents[2]
LABELS = (
    *("queries", "basic", "lookup", "expressions*", "aggregation*", "m2m_*", "model_inheritance*", "foreign_object"),
    *("transactions", "async", "auth_tests", "admin_views", "postgres_tests"),
)
CACHEOPS = "django-cacheops==7.2"
WAGTAIL = "wagtail==8.0.1"
# What its tests import, besides what it needs, and what the engine needs.
WAGTAIL_TESTS = (
    *("boto3==1.44.8", "django-pattern-library==1.6.0", "factory-boy==3.3.3", "freezegun==1.5.5", "Jinja2==3.1.6"),
    *("polib==1.2.0", "responses==0.26.3", "tblib==3.2.2"),
)
SUITES = ("plain", "committed", "cacheops", "wagtail")
DATABASES = ("sqlite3", "postgresql")
NEEDED_DATABASES = {"postgres_tests": "postgresql"}


class Suites:
    """The suites on one database. Output goes to a file beside the results."""

    def __init__(self, database: str, labels: Sequence[str], reuse: bool, stack: ExitStack) -> None:
        self._database, self._labels, self._reuse = database, labels, reuse
        self._options = options_of(database, stack)

    def django(self, committed: bool) -> bool:
        """Run Django's suite without the cache and with it; return whether more differs than counts of queries."""
        tests = unpacked(f"Django=={django.__version__}") / "tests"
        labels = folders(tests, self._labels, self._database)
        command = [sys.executable, "-m", "tests.upstream.django_suite", str(tests), *labels]
        return self._compare(f"Django {django.__version__}", "django", command, ("default", "other"), committed)

    def wagtail(self) -> bool:
        """Run Wagtail's suite, committed, in an environment of its own, without the cache and with it."""
        packages = (WAGTAIL, f"Django=={django.__version__}", f"msgspec=={version('msgspec')}", *WAGTAIL_TESTS)
        python = interpreter(HOME / f"{WAGTAIL}-env", WAGTAIL, packages)
        labels = () if self._labels is LABELS else self._labels
        command = [str(python), "-m", "tests.upstream.wagtail_suite", *labels]
        return self._compare(WAGTAIL, "wagtail", command, ("default",), committed=True)

    def _compare(self, title: str, name: str, command: Sequence[str], aliases: Iterable[str], committed: bool) -> bool:
        runs = []
        for cached in (False, True):
            mode = f"{'committed' if committed else 'plain'}-{'cached' if cached else 'control'}"
            flags = {"UPSTREAM_CACHED": "1" if cached else "", "UPSTREAM_COMMITTED": "1" if committed else ""}
            reuse = self._reuse and not cached
            runs.append(self._run(f"{name}-{self._database}-{mode}", command, aliases, flags, reuse))
        different = Comparison(*runs)
        sys.stdout.write(different.report(f"{title}, {self._database}{', committed' if committed else ''}"))
        return bool(different.others)

    def cacheops(self) -> None:
        """Run django-cacheops' suite: what fails is listed, as there is no control."""
        folder = HOME / "cacheops-tests"  # without its package, which has our name
        folder.mkdir(exist_ok=True)
        if not (folder / "tests").exists():
            (folder / "tests").symlink_to(unpacked(CACHEOPS) / "tests")
        command = [sys.executable, str(ROOT / "tests" / "upstream" / "cacheops_suite.py"), str(folder)]
        found = self._run(f"cacheops-{self._database}", command, ("default", "slave"), {"PYTHONPATH": ""})
        sys.stdout.write(listed(f"{CACHEOPS}, {self._database}", found))

    def _run(
        self, name: str, command: Sequence[str], aliases: Iterable[str], flags: dict[str, str], reuse: bool = False
    ) -> Run:
        """Run a suite in a process of its own."""
        results, log = HOME / f"{name}.json", HOME / f"{name}.log"
        if not (reuse and results.exists()):
            results.unlink(missing_ok=True)
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "UPSTREAM_ENGINE": self._database,
                "UPSTREAM_DATABASES": json.dumps({alias: self._database_options(alias) for alias in aliases}),
                "UPSTREAM_RESULTS": str(results),
                **flags,
            }
            with log.open("w") as output:
                subprocess.run(command, cwd=HOME, env=environment, stdout=output, stderr=output, check=False)
        if not results.exists():
            sys.exit(f"The suite did not end: see {log}.")
        return Run(json.loads(results.read_text()))

    def _database_options(self, alias: str) -> dict[str, Any]:
        return {"NAME": f"upstream_{alias}", **self._options} if self._options else {}


def folders(tests: Path, patterns: Iterable[str], database: str) -> list[str]:
    """Return the labels that patterns name; a label that is no folder is one test, or class, of it."""
    found = []
    for pattern in patterns:
        names = sorted(path.name for path in tests.glob(pattern) if (path / "__init__.py").exists())
        found += [name for name in names or [pattern] if NEEDED_DATABASES.get(name, database) == database]
    return found


def options_of(database: str, stack: ExitStack) -> dict[str, Any]:
    """Return where a database is, as DATABASES says it; PostgreSQL runs for as long as the stack lasts."""
    if database == "sqlite3":
        return {}
    address = urlsplit(stack.enter_context(servers.running(fsync=False, awake=False)).database_url)
    return {"HOST": address.hostname, "PORT": address.port, "USER": address.username}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="*", default=LABELS, metavar="label", help="folders, with wildcards, or tests")
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--suite", choices=SUITES, action="append")
    parser.add_argument("--reuse", action="store_true", help="take the last results of Django's engine as they are")
    given = parser.parse_args()
    HOME.mkdir(exist_ok=True)
    failed = False
    for database in given.database or DATABASES:
        with ExitStack() as stack:
            suites = Suites(database, given.labels, given.reuse, stack)
            for suite in given.suite or SUITES:
                if suite == "cacheops":
                    suites.cacheops()
                elif suite == "wagtail":
                    failed |= database == "sqlite3" and suites.wagtail()
                else:
                    failed |= suites.django(suite == "committed")
                sys.stdout.flush()
    sys.exit(failed)


if __name__ == "__main__":
    main()
