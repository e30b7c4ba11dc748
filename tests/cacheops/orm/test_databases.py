"""Which database keys belong to: the server's own, not what the settings call it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from django.db import connection, connections
from django.db.transaction import atomic

from cacheops.databases import known_names, name_of, table_keys
from cacheops.db.backends.sqlite3 import birth
from cacheops.db.backends.sqlite3.base import DatabaseWrapper as SQLite
from cacheops.engine import Engine
from cacheops.models import QueuedInvalidation
from cacheops.queryset import CachedQuerySet
from cacheops.regions import regions
from cacheops.regions.outbox import TABLE
from tests.testapp.models import Author, Country

FIRST, SECOND = "cacheops_first", "cacheops_second"


@contextmanager
def server() -> Iterator[psycopg.Connection[Any]]:
    """Connect to the server's own database, from which others are made."""
    given = connection.get_connection_params()
    names = {name: given[name] for name in ("host", "port", "user", "password") if name in given}
    with psycopg.connect(dbname="postgres", autocommit=True, **names) as found:
        yield found


def make(name: str, template: str = "template1") -> None:
    with server() as found:
        found.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        found.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


@pytest.fixture
def first(transactional_db: None) -> Iterator[None]:
    """A database with an author."""
    make(FIRST)
    with led_to(NAME=FIRST) as made:
        with made.schema_editor() as editor:
            for model in (Country, Author, QueuedInvalidation):
                editor.create_model(model)
        Author.objects.create(name="original")
    yield
    with server() as found:
        for name in (FIRST, SECOND):
            found.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def led_to(**settings: str) -> Iterator[Any]:
    """Let the alias `default` of this thread lead elsewhere, as another process with these settings would."""
    outer, made = connections["default"], connection.copy()
    made.settings_dict.update(settings)
    connections["default"] = made
    try:
        yield made
    finally:
        made.close()
        connections["default"] = outer


def write_unseen(wrapper: Any, statement: str) -> None:
    """Write as what does not know of the cache."""
    with wrapper.cursor() as cursor:
        cursor.cursor.execute(statement)


def names_of_authors() -> list[str]:
    return [author.name for author in CachedQuerySet(Author).order_by("name")]


@pytest.mark.servers
class TestPostgreSQL:
    def test_a_copy_of_a_database_has_entries_of_its_own(self, first):
        make(SECOND, template=FIRST)
        with led_to(NAME=SECOND):
            Author.objects.update(name="copy")
            assert names_of_authors() == ["copy"]
        with led_to(NAME=FIRST):
            assert names_of_authors() == ["original"]
        with led_to(NAME=SECOND):
            assert names_of_authors() == ["copy"]

    def test_rows_of_two_outboxes_with_one_key_are_both_applied(self, first):
        make(SECOND, template=FIRST)
        for name in (FIRST, SECOND):
            with led_to(NAME=name) as made:
                made.ensure_connection()
                assert names_of_authors() == ["original"]
                write_unseen(made, "UPDATE testapp_author SET name = 'new'")
                values = f"(1, '{regions.local.name}', 'testapp_author', now())"
                write_unseen(made, f'INSERT INTO {TABLE} (id, region, "table", created_at) VALUES {values}')
                regions.local.outbox.recheck()
                with atomic():  # in which rows are applied, and not deleted
                    assert names_of_authors() == ["new"]

    def test_a_database_made_anew_under_its_name_is_another(self, first):
        with led_to(NAME=FIRST):
            before = name_of("default")
        make(FIRST)
        with led_to(NAME=FIRST) as made:
            assert name_of("default") == before  # as it was told before, until it connects
            other = connection.copy()
            other.settings_dict.update(NAME=FIRST)
            assert other.cacheops.name == before
            made.ensure_connection()
            assert name_of("default") != before
            assert other.cacheops.name == name_of("default")  # another thread's, which has not connected

    def test_one_database_is_one_by_whatever_address(self, transactional_db):
        expected = name_of("default")
        with server() as found:
            folder = found.execute("SHOW unix_socket_directories").fetchone()[0].partition(",")[0]
        hosts = ["localhost", "127.0.0.1", *([folder] if folder else [])]
        for host in hosts:
            with Engine().in_use(), led_to(HOST=host):
                assert name_of("default") == expected

    def test_a_role_that_may_not_ask_for_the_cluster(self, first):
        with led_to(NAME=FIRST) as made, made.cursor() as cursor:
            cursor.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
            cursor.execute("DROP ROLE IF EXISTS cacheops_guest")
            cursor.execute("CREATE ROLE cacheops_guest LOGIN PASSWORD 'guest'")
        try:
            with led_to(NAME=FIRST, USER="cacheops_guest", PASSWORD="guest") as made:
                found = name_of("default")
                assert found.startswith("default@")
                assert made.connection.info.transaction_status.name == "IDLE"
            make(FIRST)
            with Engine().in_use(), led_to(NAME=FIRST):
                assert name_of("default") != found
        finally:
            with server() as found:
                found.execute("DROP ROLE cacheops_guest")

    def test_a_name_that_is_known_needs_no_connection(self, transactional_db):
        with led_to() as made:
            expected = name_of("default")
            made.close()
            assert name_of("default") == expected
            assert made.connection is None

    def test_a_connection_is_asked_once_and_no_query_is_counted(self, transactional_db, django_assert_num_queries):
        with Engine().in_use(), led_to() as made, django_assert_num_queries(0, connection=made):
            assert name_of("default") == name_of("default")


@pytest.mark.django_db
class TestSQLite:
    @pytest.fixture
    def wrapper(self) -> Iterator[Callable[[str | Path], SQLite]]:
        made: list[SQLite] = []

        def make(name: str | Path) -> SQLite:
            settings = {"ENGINE": "cacheops.db.backends.sqlite3", "NAME": str(name), "OPTIONS": {}}
            made.append(SQLite(connections["default"].settings_dict | settings, "file"))
            return made[-1]

        yield make
        for each in made:
            each.connection.close()  # Django's own close() keeps what is in memory

    def test_a_file_is_one_database_under_any_path(self, tmp_path, wrapper):
        (tmp_path / "link").symlink_to(tmp_path / "one")
        one, link, other = (wrapper(tmp_path / name) for name in ("one", "link", "other"))
        for made in (one, link, other):
            made.ensure_connection()
        assert one.cacheops.name == link.cacheops.name != other.cacheops.name

    def test_a_file_made_anew_under_its_name_is_another(self, tmp_path, wrapper):
        """File systems give its number to the next file at once."""
        names = set()
        for _ in range(4):
            (tmp_path / "file").unlink(missing_ok=True)
            time.sleep(0.02)  # times of birth are as exact as the system's clock, whose steps are up to 10 ms
            made = wrapper(tmp_path / "file")
            made.ensure_connection()
            first = made.cacheops.name
            made.connection.execute("CREATE TABLE a (b)")
            made.connection.execute("VACUUM")
            made.cacheops.identify(made.connection)
            assert made.cacheops.name == first  # whatever is written to it
            made.connection.close()
            names.add(first)
        assert len(names) == 4

    @pytest.mark.parametrize("failing", [AttributeError, TypeError, None])
    def test_a_system_that_does_not_tell_when_a_file_was_made(self, failing, tmp_path, monkeypatch):
        class Library:
            def statx(self, *arguments: Any) -> int:
                if failing:
                    raise failing
                return -1

        file = tmp_path / "file"
        file.touch()
        monkeypatch.setattr(birth.ctypes, "CDLL", lambda name: Library())
        assert birth.birth_of(file) == ()

    def test_a_system_that_tells_it_as_python_does(self):
        class Known:
            def stat(self) -> Any:
                return SimpleNamespace(st_birthtime=1.5)

        assert birth.birth_of(cast(Path, Known())) == (1.5,)

    def test_databases_in_memory_are_each_connection_s_own(self, wrapper):
        one, other = wrapper(":memory:"), wrapper(":memory:")
        assert one.cacheops.name != other.cacheops.name
        assert one.cacheops.name == one.cacheops.name

    def test_shared_memory_is_one_database_in_one_process(self, wrapper):
        name = "file:memorydb_x?mode=memory&cache=shared"
        one, other = wrapper(name), wrapper(name)
        other.ensure_connection()
        assert one.cacheops.name == other.cacheops.name
        one.ensure_connection()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # its copy of the memory goes its own ways
            os.write(writing, one.cacheops.name.encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100).decode() != one.cacheops.name
        os.close(reading)
        os.close(writing)


def test_an_engine_that_knows_nothing_asks(transactional_db):
    expected = name_of("default")
    with Engine().in_use():
        assert known_names.of == {}
        with led_to():
            assert name_of("default") == expected
    assert f":{{{expected}.t}}:" in table_keys("default", "t").base
