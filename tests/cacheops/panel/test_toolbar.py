"""The panel of django-debug-toolbar, on a page of a project that has it."""

import json
import re
import subprocess
import sys
from html import unescape

import pytest

pytest.importorskip("debug_toolbar", reason="django-debug-toolbar is not installed: requirements-dev.txt has it")


def rows(panel: str) -> list[list[str]]:
    """Return the texts of the cells of each row that has more than two."""
    found = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr.*?</tr>", panel, re.DOTALL)]
    return [[" ".join(unescape(re.sub(r"<[^>]+>", "", cell)).split()) for cell in row] for row in found if len(row) > 2]


def test_each_read_of_a_page_is_shown_with_its_outcome_reason_and_caller() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.cacheops.panel.toolbar"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert (first["counted"], second["counted"]) == ("0 5 0", "3 0 0")  # what others count is as without the toolbar
    assert "4 hits, 0 misses, 2 bypasses" in second["panel"]

    by_label = {row[0]: row[1:4] for row in rows(first["panel"]) if len(row) == 5 and not row[1].endswith("ms")}
    assert by_label["auth.group:fetch"] == ["0", "2", "1"]
    assert by_label["__main__.largest:call"] == ["0", "1", "0"]

    reads = [(row[2], row[3], row[4]) for row in rows(second["panel"]) if row[1].endswith("ms")]
    assert [(label, outcome.partition(":")[0]) for label, outcome, _ in reads] == [
        ("auth.user:get", "hit"),
        ("auth.user:count", "hit"),
        ("__main__.largest:call", "hit"),
        ("auth.group:exists", "bypass"),
        ("auth.group:fetch", "bypass"),
        ("auth.group:fetch", "hit"),
    ]
    assert all(re.search(r"tests/cacheops/panel/toolbar\.py:\d+ page", caller) for _, _, caller in reads)
    assert "does not cache this operation" in reads[3][1]
    assert "in a block of bypassed()" in reads[4][1]
    assert re.search(
        r"entry co:\{default@\S+\.auth_user\}:e:\S+\s+tag +co:\S+:t:\*\s+tag +co:\S+:t:username=ann", second["panel"]
    )
