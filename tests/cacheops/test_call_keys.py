"""Keys of calls are the same in every process that runs the same code."""

import os
import subprocess
import sys

MAKES_KEYS = """
from cacheops.encoding.arguments import CallKeys

class Local:
    def __repr__(self):
        return "Local()"

print(CallKeys().of([{"five", "six", frozenset({"seven"})}, {"b": 1, "a": 2.5}, "\\udc80", Local()]))
"""


def test_processes_agree_whatever_the_order_of_their_sets() -> None:
    found = set()
    for seed in ("1", "2", "3"):
        ran = subprocess.run(
            [sys.executable, "-c", MAKES_KEYS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(ran.stdout)
    assert len(found) == 1
    assert "seven" in found.pop()
