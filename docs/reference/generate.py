"""Write the tables that the reference pages have from the code: `make reference`; with --check, only compare them.

The tables are those of a project that has the engine and nothing else. A page marks the place of each.
"""

import re
import sys
from collections.abc import Mapping
from difflib import unified_diff
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

PAGES = Path(__file__).parent
PLACE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
STALE = "The reference is not what the code says: run `make reference`, and see that the prose still fits.\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them. Return the exit status: 1 if they differ."""
    tables = tables_of_the_engine()
    pages = {path: path.read_text() for path in sorted(PAGES.glob("*.md"))}
    placed = [match[2] for text in pages.values() for match in PLACE.finditer(text)]
    if sorted(placed) != sorted(tables):
        raise SystemExit(f"Each of {sorted(tables)} must have one place in the pages, which have {sorted(placed)}.")
    current = {
        path: PLACE.sub(lambda match: match[1] + tables[match[2]] + match[3], text) for path, text in pages.items()
    }
    if arguments == ["--check"]:
        differences = [line for path in pages for line in difference(path.name, pages[path], current[path])]
        sys.stderr.write(STALE + "\n".join(differences) + "\n" if differences else "")
        return int(bool(differences))
    for path, text in current.items():
        path.write_text(text)
    return 0


def difference(name: str, page: str, current: str) -> list[str]:
    return list(unified_diff(page.splitlines(), current.splitlines(), name, "the code", lineterm="", n=0))


def tables_of_the_engine() -> Mapping[str, str]:
    """Return each table as Markdown, by name."""
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "cacheops"],
        CACHES={"default": {"BACKEND": "cacheops.backends.MemoryCache"}},
        DATABASES={"default": {"ENGINE": "cacheops.db.backends.sqlite3", "NAME": ":memory:"}},
        CACHEOPS_METRICS_SECONDS=0,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from docs.reference import tables  # which imports models

    return {name: make() for name, make in tables.TABLES.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
