"""Databases for what runs as a command of its own, in a process of its own."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection


class Database:
    """A migrated database, and manage.py upon it."""

    def __init__(self, url: str) -> None:
        self.environment = os.environ | {"DATABASE_URL": url}

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=settings.BASE_DIR,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite that a shell has put into the background ignores Ctrl-C, and its children would, too.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def manage(self, *arguments: str | Path, status: int = 0) -> str:
        """Run a command; return what it says on its standard output."""
        with self.start(*arguments) as process:
            said, complaints = process.communicate(timeout=120)
        assert process.returncode == status, said + complaints
        return said

    def rows(self, query: str) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()


class SqliteDatabase(Database):
    def __init__(self, file: Path) -> None:
        super().__init__(f"sqlite:///{file}")
        self.file = file

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.file)) as plain:
            return plain.execute(query).fetchall()


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteDatabase:
    database = SqliteDatabase(tmp_path / "db.sqlite3")
    database.manage("migrate", "--verbosity", "0")
    return database


@pytest.fixture(params=["suite", "sqlite"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The suite's database, and a SQLite of its own. The test is marked django_db(transaction=True)."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    if connection.vendor != "postgresql":
        pytest.skip("the suite's database is SQLite, which the other case covers")
    given = connection.settings_dict
    yield Database(f"postgres://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT']}/{given['NAME']}")
