"""Wait for what a test expects to happen, on a busy machine too."""

import time
from collections.abc import Callable
from typing import Any

# Far above what anything here takes, in seconds: a test that waits so long has failed.
LIMIT = 60.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something is true and return it."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {LIMIT:g} s: {what}")
