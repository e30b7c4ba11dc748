"""The files of an import: found in folders, and identified by their content."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devices.imports.errors import FileFailed, ImportFailed

ENDINGS = (".csv", ".txt", ".tsv", ".dat")  # in capitals, too, and with .gz behind
KNOWN = f"{', '.join(ENDINGS)}, nor one of them with .gz"


@dataclass(slots=True)
class Found:
    """The files to import, and what was left out of the folders named."""

    files: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)


def find_files(paths: Iterable[Path]) -> Found:
    """Return the files named, and those in the folders named and below, sorted within a folder. Raises ImportFailed."""
    found = Found()
    for path in paths:
        if path.is_dir():
            inside = list(files_below(path))
            if not any(map(is_known, inside)):
                raise ImportFailed(f"{path} holds no file that ends with {' or '.join(ENDINGS)}, plain or gzipped.")
            found.files += filter(is_known, inside)
            found.left_out += (file for file in inside if not is_known(file))
        elif not path.exists():
            raise ImportFailed(f"{path} does not exist: check the path.")
        elif not is_known(path):
            raise ImportFailed(f"{path} ends with none of {KNOWN}: only such files are imported.")
        else:
            found.files.append(path)
    found.files = list(dict.fromkeys(found.files))
    return found


def is_known(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(ENDINGS)


def files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (file for name in sorted(names) if (file := Path(parent, name)).is_file())


def digest_of(path: Path, *options: str) -> str:
    """Return the SHA-256 of a file's content and of what decides how it is read, in hexadecimal."""
    with reading_errors(path), path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256("\0".join((content, *options)).encode()).hexdigest()


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFailed(f"{path} is damaged or not complete ({error}): fetch it again.") from error
    except OSError as error:
        raise FileFailed(f"{path} can not be read: {error.strerror or error}.") from error
