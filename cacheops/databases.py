"""What tells one database from another in keys, whatever alias, host or pool leads to it.

The name of a database in keys is `ALIAS@IDENTITY`. The identity is the server's own, and a new one for a clone, a test
database, a database that was dropped and made anew under its name. Each new connection is asked for it, once; hits
without a connection use what another of this process with the same settings was told.
"""

import os
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from cacheops.conf import conf
from cacheops.engine import Component, register_component
from cacheops.protocol.keys import IDENTITY, TableKeys

DEFINING = ("ENGINE", "NAME", "HOST", "PORT", "USER", "OPTIONS", "TIME_ZONE")  # of the database, and of its sessions


class Address(NamedTuple):
    """The settings by which a database is reached. Tests change them while a process runs."""

    alias: str
    settings: tuple[str, ...]

    @classmethod
    def of(cls, wrapper: Any) -> "Address":
        given = wrapper.settings_dict
        return cls(wrapper.alias, tuple([str(given.get(name) or "") for name in DEFINING]))


class Known(NamedTuple):
    """What a new connection has found behind an address: the database's name, the key of a new session's settings."""

    name: str
    session: bytes


class KnownNames(Component):
    """The databases that this process has been connected to."""

    def __init__(self) -> None:
        self.of: dict[Address, Known] = {}
        self.changes = 1  # how often another database was found behind an address: other threads look anew

    def note(self, address: Address, known: Known) -> None:
        """Take note of what a new connection has found."""
        if self.of.get(address) != known:
            self.of[address] = known
            self.changes += 1


known_names = register_component(KnownNames())


def name_of(alias: str) -> str:
    """Return a database's name in keys; the alias alone where its engine is not ours, so that nothing is cached."""
    state = getattr(connections[alias], "cacheops", None)
    return alias if state is None else state.name


def follower_name(follower: str, primary: str) -> str:
    """Return the name in keys of a primary's replica, whose identity is its primary's, in any region."""
    return f"{follower}{IDENTITY}{name_of(primary).partition(IDENTITY)[2]}"


def session_of(alias: str) -> bytes:
    """Return the key of the settings by which a database's session answers, for the digests of entries."""
    state = getattr(connections[alias], "cacheops", None)
    return b"" if state is None else state.session_key


def default_by_settings() -> str:
    """Return what the settings say of the default database, for keys of what need not be connected to one."""
    wrapper = connections[DEFAULT_DB_ALIAS]
    given = wrapper.settings_dict
    service = (given.get("OPTIONS") or {}).get("service")  # of PostgreSQL, which may stand for the rest
    place = (given.get("NAME"), given.get("HOST"), given.get("PORT"), service)
    return name_in_process(wrapper, "|".join([str(value or "") for value in place]))


def name_in_process(wrapper: Any, name: str) -> str:
    """Return a database's name, with the process's number where it is in memory: a forked child has a copy."""
    in_memory = wrapper.vendor == "sqlite" and wrapper.is_in_memory_db()
    return f"{name}-{os.getpid()}" if in_memory else name


def table_keys(alias: str, table: str) -> TableKeys:
    """Return the keys of one table of a database, under its prefix of now."""
    return TableKeys.of(conf.prefix_of(alias, table), name_of(alias), table)
