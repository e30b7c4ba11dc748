"""A file of one line of 400 MB, gzipped to 0.4: passed over in little memory."""

import gzip
import subprocess
import sys
from pathlib import Path

from django.conf import settings

MEGABYTE = 1024 * 1024
READ_ALL = """
import resource, sys
from pathlib import Path
from devices.imports.lines import Lines, damage, open_text

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as raw, open_text(raw, Path(sys.argv[1]), "") as text:
    problems = [damage(line) for line in Lines(text)]
print(*problems)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_a_line_of_400_megabytes_takes_16(tmp_path: Path) -> None:
    file = tmp_path / "long.csv.gz"
    file.write_bytes(gzip.compress(b"x" * MEGABYTE) * 400)  # members are joined, as each is quickly made
    command = [sys.executable, "-c", READ_ALL, str(file)]
    output = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=True).stdout
    problems, taken = output.splitlines()
    assert problems == "the line is longer than 65,536 characters."
    assert int(taken) < 16 * MEGABYTE
