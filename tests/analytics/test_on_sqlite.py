"""The other tests of this folder, again, with the readings in SQLite."""

import subprocess
import sys

from xyzsite.localregions.manager import CHECKOUT


def test_the_same_on_sqlite():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-servers", "tests/analytics"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
