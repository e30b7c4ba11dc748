"""The files of an import: found, opened, identified by their content."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devices.imports.errors import ImportFailed

SUFFIXES = (".csv", ".csv.gz")


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files named, and those in the folders named, sorted within a folder. Raises ImportFailed."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.is_file())
            if not inside:
                raise ImportFailed(f"{path} holds no file that ends with {' or '.join(SUFFIXES)}.")
            found += inside
        elif not path.exists():
            raise ImportFailed(f"{path} does not exist: check the path.")
        elif not path.name.endswith(SUFFIXES):
            raise ImportFailed(f"{path} ends with neither {' nor '.join(SUFFIXES)}: only such files are imported.")
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def digest_of(path: Path, *options: str) -> str:
    """Return the SHA-256 of a file's content and of what decides how it is read, in hexadecimal."""
    with reading_errors(path), path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256("\0".join((content, *options)).encode()).hexdigest()


class Table:
    """An open CSV file, past its header. Iterating gives (line number, cells), blank lines left out."""

    def __init__(self, path: Path, rows: Iterable[str], position: Callable[[], int]) -> None:
        self.path = path
        self.position = position  # bytes read of the file as it is on disk
        self.reader = csv.reader(rows, strict=True)

    def check_header(self, expected: Sequence[str]) -> None:
        header = [cell.strip() for cell in next(self.reader, [])]
        if header != list(expected):
            raise ImportFailed(
                f"{self.path}: the header is {','.join(header)!r} but must be {','.join(expected)!r}. "
                "Is it another format?"
            )

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for row in self.reader:
            if row:
                yield self.reader.line_num, row


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a CSV file, gzipped or not. Raises ImportFailed for what can not be read, also while it is being read."""
    with reading_errors(path), path.open("rb") as raw:
        content = gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else raw
        with io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text:
            yield Table(path, text, raw.tell)


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportFailed(f"{path} is damaged or not complete ({error}): fetch it again.") from error
    except OSError as error:
        raise ImportFailed(f"{path} can not be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ImportFailed(f"{path} is not UTF-8 ({error}): convert it.") from error
    except csv.Error as error:
        raise ImportFailed(f"{path} is not CSV ({error}): check its quotes.") from error
