"""What a relay needs in the database: a publication of the cached tables, and rows that the log tells as they were."""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from cacheops.exceptions import RelayRefused
from cacheops.orm.commit import invalidate
from cacheops.orm.schema import is_tracked, models_by_table
from cacheops.regions.direct_sql import query_driver, run
from cacheops.relay.schema_changes import UNTOLD, is_telling, stop_telling, tell_schema_changes, triggers_of
from cacheops.writing.changes import Changes, ChangeSource

logger = logging.getLogger("cacheops")

PUBLICATION = "cacheops"
MAX_SLOT_NAME = 63
HOME, FOLLOWER = "home", "follower"  # what a region is to a database, in slots' names
MIN_VERSION = 14  # of PostgreSQL: pgoutput sends the messages of writers, and of relays to themselves, from then on

CACHED_SQL = """
    SELECT name, relkind::text, relpersistence::text, pg_has_role(relowner, 'USAGE')
    FROM unnest(%s::text[]) AS name JOIN pg_class ON pg_class.oid = to_regclass(name) ORDER BY name
"""
# The tables themselves, or the partitions that hold their rows, which have an identity of their own.
NOT_FULL_SQL = """
    SELECT relid::regclass::text, relreplident::text
    FROM unnest(%s::text[]) AS name, pg_partition_tree(to_regclass(name)) JOIN pg_class ON pg_class.oid = relid
    WHERE isleaf AND relreplident IN ('d', 'n')
    UNION
    SELECT name, relreplident::text FROM unnest(%s::text[]) AS name JOIN pg_class ON pg_class.oid = to_regclass(name)
    WHERE relkind = 'r' AND relreplident IN ('d', 'n')
"""
COMMENT_SQL = "SELECT obj_description(oid, 'pg_publication') FROM pg_publication WHERE pubname = %s"
RIGHTS_SQL = """
    SELECT current_setting('server_version_num')::int / 10000, current_setting('wal_level'),
    rolsuper OR rolreplication OR EXISTS (
        SELECT FROM pg_roles AS granting WHERE granting.rolname = 'rds_replication'
        AND pg_has_role(current_user, granting.oid, 'MEMBER')
    ), has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery()
    FROM pg_roles WHERE rolname = current_user
"""
DROP_SLOTS_SQL = """
    SELECT slot_name, pg_drop_replication_slot(slot_name) FROM pg_replication_slots
    WHERE database = current_database() AND slot_name LIKE 'cacheops\\_%%' AND NOT active
"""
ACTIVE_SQL = """
    SELECT slot_name FROM pg_replication_slots
    WHERE database = current_database() AND slot_name LIKE 'cacheops\\_%%' AND active
"""
UNPUBLISHED_SQL = """
    SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (
        SELECT FROM pg_publication_rel JOIN pg_publication ON pg_publication.oid = prpubid
        WHERE prrelid = to_regclass(name) AND pubname = %s
    )
"""
MEMBERS_SQL = """
    SELECT relname::text, pg_publication_rel.oid::bigint FROM pg_publication_rel
    JOIN pg_publication ON pg_publication.oid = prpubid JOIN pg_class ON pg_class.oid = prrelid WHERE pubname = %s
"""
IDENTITIES = {"d": "DEFAULT", "n": "NOTHING"}


class Installed(NamedTuple):
    """What --install has done."""

    tables: tuple[str, ...]  # in the publication
    full: tuple[str, ...]  # that have got REPLICA IDENTITY FULL
    unpublished: tuple[str, ...]  # views and the like, which have no rows of their own
    unseen: tuple[str, ...]  # what relays don't see all the same, as sentences


def slot_name(database: str, region: str, kind: str = HOME) -> str:
    """Return the name of the slot of a region's relay."""
    oid = query_driver(connections[database], "SELECT oid FROM pg_database WHERE datname = current_database()")[0][0]
    plain = re.sub(r"[^a-z0-9]+", "_", region.lower())
    name = f"cacheops_{kind}_{plain}_{oid}"
    if len(name) > MAX_SLOT_NAME:
        raise RelayRefused(f"The name of region {region!r} is too long for a replication slot's: shorten it.")
    return name


def problems(database: str) -> Iterator[str]:
    """Find what keeps a relay from working on a database, each as a sentence that says what to do."""
    connection: Any = connections[database]
    if connection.vendor != "postgresql":
        yield f"The database {database!r} is {connection.display_name}, which has no log that a relay can read."
        return
    if not hasattr(connection, "cacheops"):
        yield f"The database {database!r} has Django's own engine, so nothing of it is cached."
        return
    version, wal_level, may_replicate, may_create, in_recovery = query_driver(connection, RIGHTS_SQL)[0]
    if version < MIN_VERSION:
        yield f"The server is PostgreSQL {version}, whose log tells no messages: {MIN_VERSION} is the first that does."
    if in_recovery:
        yield f"The database {database!r} is a replica: install on the primary."
    if wal_level != "logical":
        yield f"wal_level is {wal_level}: set wal_level = logical in postgresql.conf, and start the server again."
    if not may_replicate:
        yield "The role may not make replication slots: ALTER ROLE … REPLICATION, as a superuser."
    if not may_create:
        yield "The role may not make publications: GRANT CREATE ON DATABASE … TO the role."
    yield from _problems_of_tables(connection)


def _problems_of_tables(connection: Any) -> Iterator[str]:
    for name, kind, persistence, is_owned in cached_relations(connection):
        if kind in "rp" and persistence == "u":
            yield f"{name} is UNLOGGED, and its rows are in no log: ALTER TABLE {name} SET LOGGED, or do not cache it."
        elif kind in "rp" and not is_owned:
            yield f"{name} belongs to another role, who alone can publish it: install as that role."


def cached_relations(connection: Any) -> list[tuple[Any, ...]]:
    """Return the quoted names of the cached tables that are there: kind, persistence, whether the role owns them."""
    names = [connection.ops.quote_name(table) for table in models_by_table() if is_tracked(table)]
    return query_driver(connection, CACHED_SQL, [names])


def install(database: str) -> Installed:
    """Publish the cached tables, with their rows as they were. May be run again. Raise RelayRefused."""
    if found := list(problems(database)):
        raise RelayRefused(" ".join(found))
    connection: Any = connections[database]
    relations = cached_relations(connection)
    tables = [name for name, kind, *_ in relations if kind in "rp"]
    if not tables:
        raise RelayRefused(f"No table of the database {database!r} is cached.")
    changed = dict(query_driver(connection, NOT_FULL_SQL, [tables, tables]))
    published = query_driver(connection, COMMENT_SQL, [PUBLICATION])
    earlier = json.loads(published[0][0] or "{}") if published else {}
    comment = json.dumps(changed | earlier).replace("'", "''")
    run(connection, *([] if published else [f"CREATE PUBLICATION {PUBLICATION}"]), comment_sql(comment))
    for name in changed:  # each by itself: it waits for whoever uses the table
        run(connection, f"ALTER TABLE {name} REPLICA IDENTITY FULL")
    new = unpublished_tables(connection)
    for name in new:  # of who is writing it now, the log would not tell what is written already
        run(connection, f"LOCK TABLE {name} IN SHARE MODE", f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {name}")
    run(connection, f"ALTER PUBLICATION {PUBLICATION} SET TABLE {', '.join(tables)}")
    forget_tables(database, new)
    tell_schema_changes(connection)
    unpublished = tuple(name for name, kind, *_ in relations if kind not in "rp")
    return Installed(tuple(tables), tuple(changed), unpublished, tuple(unseen(database)))


def forget_tables(database: str, names: Iterable[str]) -> None:
    """Make the entries of tables misses, by their quoted names: what was written before is told by nobody."""
    changes = Changes()
    for name in names:
        changes.add(name.strip('"'), None, ChangeSource.MANUAL)
    invalidate(database, changes)


def comment_sql(comment: str) -> str:
    """Return the statement that notes, in the publication, what the tables' identities were before."""
    return f"COMMENT ON PUBLICATION {PUBLICATION} IS '{comment}'"


def uninstall(database: str) -> list[str]:
    """Take back all that `install` and relays have made; return the slots that are gone. Raise RelayRefused."""
    connection: Any = connections[database]
    if active := query_driver(connection, ACTIVE_SQL):
        names = ", ".join(row[0] for row in active)
        raise RelayRefused(f"A relay still runs ({names}): end it first.")
    if not all(triggers_of(connection).values()):
        raise RelayRefused("Its event triggers belong to a superuser: uninstall as that role.")
    stop_telling(connection)
    dropped = [row[0] for row in query_driver(connection, DROP_SLOTS_SQL)]
    published = query_driver(connection, COMMENT_SQL, [PUBLICATION])
    if published:
        before: dict[str, str] = json.loads(published[0][0] or "{}")
        run(connection, f"DROP PUBLICATION {PUBLICATION}")
        for name, identity in before.items():
            run(connection, f"ALTER TABLE IF EXISTS {name} REPLICA IDENTITY {IDENTITIES[identity]}")
    return dropped


def publication_of(connection: Any) -> int | None:
    """Return the OID of the publication; None where `install` was not run on the database."""
    rows = query_driver(connection, "SELECT oid FROM pg_publication WHERE pubname = %s", [PUBLICATION])
    return rows[0][0] if rows else None


def members_of(connection: Any) -> dict[str, int]:
    """Return the published tables by the names of relations, with what is another each time that one is added."""
    return dict(query_driver(connection, MEMBERS_SQL, [PUBLICATION]))


def is_replica(connection: Any) -> bool:
    """Return whether a server follows another one, whose publications it has."""
    rows: list[tuple[bool]] = query_driver(connection, "SELECT pg_is_in_recovery()")
    return rows[0][0]


def unpublished_tables(connection: Any) -> list[str]:
    """Return the quoted names of cached tables that are not in the publication: of models that were added later."""
    tables = [name for name, kind, *_ in cached_relations(connection) if kind in "rp"]
    return [row[0] for row in query_driver(connection, UNPUBLISHED_SQL, [tables, PUBLICATION])]


def unseen(database: str) -> Iterator[str]:
    """Find what the relays of a database do not see, or what keeps them from being installed, each as a sentence."""
    connection: Any = connections[database]
    if publication_of(connection) is None:
        yield from problems(database)
        return
    for name in unpublished_tables(connection):
        yield f"Relays do not see what is written to {name}: run `manage.py relay --install` again."
    if not is_telling(connection):
        yield f"{UNTOLD} Run `manage.py relay --install` as a superuser, or `manage.py invalidate` after such a change."


def publish_new_tables(using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Add the tables that a migration has made, where relays were installed (a receiver of post_migrate)."""
    connection: Any = connections[using]
    if connection.vendor != "postgresql" or not hasattr(connection, "cacheops") or publication_of(connection) is None:
        return
    if unpublished_tables(connection):
        try:
            install(using)
        except (RelayRefused, DatabaseError) as error:
            logger.warning("New tables were not published, and relays don't see them: %s", error)
