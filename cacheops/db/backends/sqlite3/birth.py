"""When a file was made. Linux keeps that, but Python's os.stat() tells it on other systems only."""

import ctypes
import os
import struct
from pathlib import Path

HERE = -100  # AT_FDCWD
BIRTH = 0x800  # STATX_BTIME, asked for and given
ROOM = 256  # bytes of a struct statx
# https://man7.org/linux/man-pages/man2/statx.2.html: which fields are given, and stx_btime's seconds and nanoseconds.
FIELDS = struct.Struct("=I76xqI")


def birth_of(file: Path) -> tuple[float, ...]:
    """Return when a file was made; () where the system, or the file's, keeps no such time."""
    known = getattr(file.stat(), "st_birthtime", None)
    if known is not None:
        return (known,)
    found = ctypes.create_string_buffer(ROOM)
    try:
        failed = ctypes.CDLL(None).statx(HERE, os.fsencode(file), 0, BIRTH, found)
    except (AttributeError, TypeError):  # a library of C without it; Windows, which has none by this name
        return ()
    given, *born = FIELDS.unpack_from(found)
    return () if failed or not given & BIRTH else tuple(born)
