"""The documents: the reference is what the code says; the site has a place for every page, and no dead link.

`make docs` finds the latter two as well: here they need no builder.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.dispatch import Signal

from cacheops import signals
from cacheops.checks import CHECKS
from cacheops.conf import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1`*$", re.DOTALL | re.MULTILINE)


def test_the_pages_are_what_the_code_would_generate() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "docs.reference.generate", "--check"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "pattern", "names"),
    [
        ("cacheops-settings", r"^\| `(\w+)` \|", {setting.name for setting in SETTINGS}),
        ("checks", r"^\| `cacheops\.(\w+)` \|", set(CHECKS)),
        ("signals", r"^\| `(\w+)` \|", {name for name, value in vars(signals).items() if isinstance(value, Signal)}),
        (
            "commands",
            r"^## manage.py (\w+)$",
            {path.stem for path in (ROOT / "cacheops/management/commands").glob("[!_]*.py")},
        ),
    ],
)
def test_a_page_lists_everything_once(page: str, pattern: str, names: set[str]) -> None:
    listed = re.findall(pattern, (REFERENCE / f"{page}.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(names)


def pages_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav if isinstance(nav, list) else nav.values():
            yield from pages_of(item)


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return the names that Python-Markdown gives a page's headings."""
    titles = [re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", title) for title in re.findall(r"(?m)^#+ (.+)$", prose(page))]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def dead_links(page: Path) -> Iterator[str]:
    for path, anchor in LINK.findall(prose(page)):
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or not target.is_relative_to(DOCS):
            yield f"{page.relative_to(ROOT)}: {path}"
        elif anchor and anchor not in anchors(target):
            yield f"{page.relative_to(ROOT)}: {path}#{anchor}"


def test_each_page_has_one_place_in_the_navigation() -> None:
    assert sorted(pages_of(SITE["nav"])) == [str(page.relative_to(DOCS)) for page in PAGES]


def test_each_link_leads_to_a_page_or_image_and_a_heading_of_the_documents() -> None:
    assert [dead for page in PAGES for dead in dead_links(page)] == []


def test_the_site_loads_nothing_from_another_host() -> None:
    assert SITE["theme"]["font"] is False
    assert SITE["extra"]["polyfills"] == ["javascripts/iframe-worker.js"]  # by this name the builder knows it
    elsewhere = re.compile(r"```mermaid|!\[[^]]*]\(http")
    assert [page for page in PAGES if elsewhere.search(page.read_text())] == []
