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
from cacheops.protocol.keys import TableKeys

DEFINING = ("ENGINE", "NAME", "HOST", "PORT", "USER")  # the settings that say which database it is


class Address(NamedTuple):
    """The settings by which a database is reached. Tests change them while a process runs."""

    alias: str
    settings: tuple[str, ...]

    @classmethod
    def of(cls, wrapper: Any) -> "Address":
        given = wrapper.settings_dict
        return cls(wrapper.alias, tuple([str(given.get(name) or "") for name in DEFINING]))


class KnownNames(Component):
    """The names of the databases that this process has been connected to."""

    def __init__(self) -> None:
        self.of: dict[Address, str] = {}
        self.changes = 1  # how often another database was found behind an address: other threads look anew

    def note(self, address: Address, name: str) -> None:
        """Take note of the database that a new connection has found."""
        if self.of.get(address) != name:
            self.of[address] = name
            self.changes += 1


known_names = register_component(KnownNames())


def name_of(alias: str) -> str:
    """Return a database's name in keys; the alias alone where its engine is not ours, so that nothing is cached."""
    state = getattr(connections[alias], "cacheops", None)
    return alias if state is None else state.name


def default_by_settings() -> str:
    """Return what the settings call the default database, for keys of what need not be connected to one.

    A database in memory is its process's own: tests that run in parallel have copies.
    """
    name = str(connections.settings[DEFAULT_DB_ALIAS].get("NAME", ""))
    return f"{name}-{os.getpid()}" if name == ":memory:" or "mode=memory" in name else name


def table_keys(alias: str, table: str) -> TableKeys:
    """Return the keys of one table of a database, under the prefix of now."""
    return TableKeys.of(conf.prefix, name_of(alias), table)
