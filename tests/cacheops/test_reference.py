"""The reference pages say what the code says: all settings, checks, signals, commands and metrics, and no others."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.dispatch import Signal

from cacheops import signals
from cacheops.checks import CHECKS
from cacheops.conf import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "reference"


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
    listed = re.findall(pattern, (PAGES / f"{page}.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(names)
