"""Where a read was asked for: the project's own code, behind the libraries that call each other."""

import sys
from collections.abc import Collection
from types import FrameType


def innermost_frame(unlike: Collection[str]) -> FrameType | None:
    """Return the innermost frame that is none of these packages'; None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if (frame.f_globals.get("__name__") or "").partition(".")[0] not in unlike:
            return frame
        frame = frame.f_back
    return None
