"""The other tests of this folder, again, with the readings in SQLite."""

import os
import subprocess
import sys

from xyzsite.localregions.manager import CHECKOUT


def test_the_same_on_sqlite(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/analytics"]
    done = subprocess.run(
        [*command, "--deselect", "tests/analytics/test_on_sqlite.py"],
        cwd=CHECKOUT,
        env={**environment, "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
