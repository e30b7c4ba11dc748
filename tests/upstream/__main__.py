"""Run other projects' suites on our engines, beside Django's, and print the differences: `make upstream`.

    python -m tests.upstream                                      all: both databases, as they are and committed
    python -m tests.upstream --database sqlite3 queries.tests     some tests of Django's on one database
    python -m tests.upstream --suite cacheops                     django-cacheops' own suite

Results stay in .upstream, one file a run.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import django

from benchmarks import servers
from tests.upstream.compared import Comparison, Run
from tests.upstream.sources import HOME, unpacked

ROOT = Path(__file__).parents[2]
LABELS = (
    *("queries", "basic", "lookup", "expressions*", "aggregation*", "m2m_*", "model_inheritance*", "foreign_object"),
    *("transactions", "async", "auth_tests", "admin_views", "postgres_tests"),
)
DATABASES = ("sqlite3", "postgresql")
NEEDED_FEATURES = {"postgres_tests": "postgresql"}


class Job(NamedTuple):
    """One run of Django's suite. `committed`: tests commit, see committed.py."""

    database: str
    committed: bool

    @property
    def title(self) -> str:
        return f"Django {django.__version__}, {self.database}{', committed' if self.committed else ''}"


def folders(tests: Path, patterns: Iterable[str], database: str) -> list[str]:
    """Return the labels that patterns name; a label that is no folder is one test, or class, of it."""
    found = []
    for pattern in patterns:
        names = sorted(path.name for path in tests.glob(pattern) if (path / "__init__.py").exists())
        found += [name for name in names or [pattern] if NEEDED_FEATURES.get(name, database) == database]
    # Two models of one name: Django's own runner keeps them apart by a process each.
    return [name for name in found if name != "model_inheritance_same_model_name"]


def run(job: Job, cached: bool, tests: Path, labels: list[str], databases: Mapping[str, Any], reuse: bool) -> Run:
    """Run the suite in a process of its own; its output goes to a file beside the results."""
    name = f"django-{job.database}-{'committed' if job.committed else 'plain'}-{'cached' if cached else 'control'}"
    results, log = HOME / f"{name}.json", HOME / f"{name}.log"
    if reuse and not cached and results.exists():
        return Run(json.loads(results.read_text()))
    results.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "UPSTREAM_ENGINE": job.database,
        "UPSTREAM_DATABASES": json.dumps(databases),
        "UPSTREAM_CACHED": "1" if cached else "",
        "UPSTREAM_COMMITTED": "1" if job.committed else "",
        "UPSTREAM_RESULTS": str(results),
    }
    command = [sys.executable, "-m", "tests.upstream.django_suite", str(tests), *labels]
    with log.open("w") as output:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    if not results.exists():
        sys.exit(f"The suite did not end: see {log}.")
    return Run(json.loads(results.read_text()))


def databases_of(database: str, stack: ExitStack) -> dict[str, Any]:
    """Return what DATABASES says besides the engine, by alias; starts PostgreSQL for as long as the stack lasts."""
    if database == "sqlite3":
        return {"default": {}, "other": {}}
    address = urlsplit(stack.enter_context(servers.running(fsync=False, awake=False)).database_url)
    where = {"HOST": address.hostname, "PORT": address.port, "USER": address.username}
    return {"default": {"NAME": "upstream", **where}, "other": {"NAME": "upstream_other", **where}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="*", default=LABELS, metavar="label", help="folders, with wildcards, or tests")
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--mode", choices=("plain", "committed"), action="append")
    parser.add_argument("--reuse", action="store_true", help="take the last results of Django's engine as they are")
    options = parser.parse_args()
    tests = unpacked(f"Django=={django.__version__}") / "tests"
    failed = False
    for database in options.database or DATABASES:
        labels = folders(tests, options.labels, database)
        with ExitStack() as stack:
            databases = databases_of(database, stack)
            for mode in options.mode or ("plain", "committed"):
                job = Job(database, mode == "committed")
                control, cached = (
                    run(job, cached, tests, labels, databases, options.reuse) for cached in (False, True)
                )
                different = Comparison(control, cached)
                sys.stdout.write(different.report(job.title))
                sys.stdout.flush()
                failed |= bool(different.others)
    sys.exit(failed)


if __name__ == "__main__":
    main()
