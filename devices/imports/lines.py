"""The lines of a file: decoded as they come, bounded in length, plain or gzipped."""

import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path

# Characters of a line: a hundred times what a row of readings takes. What is longer is passed over in such pieces.
MAX_LINE = 64 * 1024
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # of byte order, where the encoding's name does not say that there is one
SAMPLE = 1024  # bytes in which UTF-16 shows
# What errors="replace" and errors="surrogateescape" make of bytes that are none of the encoding.
UNDECODED = re.compile("[\ufffd\udc80-\udcff]")


def open_text(raw: io.BufferedReader, path: Path, encoding: str) -> io.TextIOWrapper:
    """Return a file as text. Bytes that are none of the encoding become lone surrogates, or U+FFFD."""
    content = gzip.GzipFile(fileobj=raw) if path.name.lower().endswith(".gz") else raw
    encoding = encoding or recognised(content.peek(SAMPLE)[:SAMPLE])
    errors = "replace" if encoding.lower().replace("-", "").startswith(("utf16", "utf32")) else "surrogateescape"
    return io.TextIOWrapper(content, encoding=encoding, errors=errors, newline="")


def recognised(sample: bytes) -> str:
    """Return the encoding of a file that begins with `sample`: UTF-8 unless it is UTF-16, with its mark or without."""
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        if zeros.count(0) > len(sample) // 4 and sample.count(0) == zeros.count(0):
            return encoding
    return "utf-8-sig"


class Lines:
    """The lines of a text without their ends, each once; `number` is that of the last, from 1.

    A line can be given back, to be read once more.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text = text
        self.number = 0
        self.returned: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number += 1
        if self.returned:
            return self.returned.pop()
        line = self.text.readline(MAX_LINE)
        if self.number == 1:
            line = line.removeprefix(MARK)
        if not line:
            self.number -= 1
            raise StopIteration
        if len(line) == MAX_LINE and line[-1] not in "\r\n":
            self.skip_rest()
        return line.rstrip("\r\n") if len(line) < MAX_LINE else line

    def give_back(self, line: str) -> None:
        self.returned.append(line)
        self.number -= 1

    def skip_rest(self) -> None:
        """Pass over what is left of a line, in pieces."""
        while (piece := self.text.readline(MAX_LINE)) and piece[-1] not in "\r\n":
            pass


def damage(line: str) -> str:
    """Return what is wrong with a line's characters, if anything."""
    if len(line) >= MAX_LINE:
        return f"the line is longer than {MAX_LINE:,} characters."
    if "\0" in line:
        return "the line holds zero bytes, as after a power cut."
    if not line.isascii() and UNDECODED.search(line):
        return "the line is not UTF-8: give --encoding, such as cp1252, if the file is another."
    return ""
