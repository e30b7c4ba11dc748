"""The panel in Django's own admin, without django-unfold, servers or the platform."""

import subprocess
import sys


def test_every_page_opens_in_a_project_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.cacheops.panel.plain"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "paused True"
    assert {line.rpartition(" ")[0] for line in lines[:-1]} == {"200 True"}
