"""What is known of a session, without a server: which statements set something, and what is asked then."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.db import InternalError

from cacheops.orm.connection import CachedConnection
from cacheops.orm.raw_sql import classify_sql, strings_in
from cacheops.orm.session import SETTINGS, Session


@pytest.mark.parametrize(
    ("sql", "sets"),
    [
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", False),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", False),
        ("SET CONSTRAINTS ALL DEFERRED", False),
        ("SET LOCAL lock_timeout = '5s'", False),
        ("SET SESSION statement_timeout TO 5", False),
        ("set search_path = a", True),
        ("SET SESSION ROLE a", True),
        ("RESET ALL", True),
        ("DISCARD ALL", True),
        ("SELECT 1; SET LOCAL a.b = 'c'", True),
        ("UPDATE a SET b = 1", False),
        ("SELECT settings FROM a", False),
    ],
)
def test_which_statements_set_something(sql: str, sets: bool) -> None:
    assert classify_sql(sql).sets is sets


class Asked:
    """Stands for a connection to a server that answers, or whose transaction has failed."""

    def __init__(self, *, fails: bool = False, needs_rollback: bool = False) -> None:
        self.wrapper = SimpleNamespace(connection=object(), needs_rollback=needs_rollback)
        self._fails = fails

    def reported_settings(self) -> tuple[bytes, ...]:
        return (b"UTC",)

    def in_transaction(self) -> bool:
        return True

    def in_django_transaction(self) -> bool:
        return False

    def ask_settings(self, names: Sequence[str]) -> tuple[Any, ...]:
        if self._fails:
            raise InternalError("current transaction is aborted")
        return tuple(names)


@pytest.mark.parametrize(("given", "known"), [({}, True), ({"fails": True}, False), ({"needs_rollback": True}, False)])
def test_what_a_failed_transaction_has_set_is_not_known(given: dict[str, bool], known: bool) -> None:
    session = Session(cast(CachedConnection, Asked(**given)))
    assert session.is_known()
    session.note_set("SET a.b = 'c'", ())
    assert session.is_known() is known
    assert (session.key != session.first_key) is known


@pytest.mark.parametrize(
    ("sql", "parameters", "unflushed"),
    [
        ("SET LOCAL Synchronous_Commit = off", (), True),
        ("SELECT set_config(%s, %s, false)", ("synchronous_commit", "off"), True),
        ("SELECT set_config(%s, %s, false)", ("a.b", 5), False),
        ("SET bytea_output = 'escape'", None, False),
    ],
)
def test_a_session_that_may_commit_without_flushing_is_noted(sql: str, parameters: Any, unflushed: bool) -> None:
    session = Session(cast(CachedConnection, Asked()))
    session.note_set(sql, strings_in(parameters))
    assert session.commits_unflushed is unflushed


class OfTenants(Asked):
    """Has one setting of a program's own, and notes for which names it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[str]] = []

    def ask_settings(self, names: Sequence[str]) -> tuple[Any, ...]:
        self.asked.append(set(names).difference(SETTINGS))
        return tuple("acme" if name == "app.host" else None for name in names)


def test_what_only_looks_like_a_setting_is_not_asked_for_again() -> None:
    """Such as a tenant's host, of which there are thousands: each would be asked for by every later question."""
    server = OfTenants()
    session = Session(cast(CachedConnection, server))
    for host in ("acme.example.com", "other.example.com"):
        session.note_set("SELECT set_config(%s, %s, false)", ["app.host", host])
        assert session.is_known()
    assert server.asked == [{"app.host", "acme.example.com"}, {"app.host", "other.example.com"}]


OF_A_TENANT: list[tuple[str, Any]] = [
    ("SET app.tenant = 1", None),
    ('SET "app"."Tenant" = 1', ()),
    ("SELECT set_config(%s, %s, false)", ["app.tenant", "1"]),
    ("SELECT set_config(%(name)s, %(to)s, false)", {"name": "app.tenant", "to": "1"}),
    ("SELECT set_config(%s, %s, false)", [("app.tenant", "1"), ("app.tenant", "2")]),
    ("SELECT set_config(name, '', false) FROM unnest(%s) AS name", (["app.tenant"],)),
]


@pytest.mark.parametrize(("sql", "parameters"), OF_A_TENANT)
def test_a_programs_own_settings_are_asked_for_however_they_are_named(sql: str, parameters: Any) -> None:
    server = OfTenants()
    session = Session(cast(CachedConnection, server))
    session.note_statement(classify_sql(sql), sql, parameters)
    session.is_known()
    assert server.asked == [{"app.tenant"}]
