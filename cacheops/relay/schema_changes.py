"""Changes of the schema that give a table other rows and put none of them into the log: event triggers name the tables.

`ALTER TABLE ... TYPE ... USING` writes every row anew, a partition that is attached brings its rows along, and one that
is detached or dropped takes them away: of none of these does `pgoutput` tell. So each such command puts the names of
the tables that it has changed into the log, in its own transaction. Materialised views are not among them: what reads
one is not cached. https://www.postgresql.org/docs/current/event-trigger-matrix.html
"""

from collections.abc import Sequence
from typing import Any

from django.db import ProgrammingError

from cacheops.orm.schema import is_tracked, tables_named
from cacheops.regions.direct_sql import query_driver, run

SCHEMA_PREFIX = "cacheops-schema"  # of the log's messages: for the relays of every CACHEOPS_PREFIX
FUNCTION = "cacheops_tell_schema"
FORBIDDEN = "42501"  # insufficient_privilege: imported by name, the driver would be needed without PostgreSQL
EVENTS = ("ddl_command_end", "sql_drop")
UNTOLD = (
    "Event triggers are a superuser's, so relays do not see what SQL changes in the schema: columns that "
    "ALTER TABLE … USING writes anew, partitions that come and go."
)

# A partition goes by its table's name. What is no relation has none: nobody knows which rows a function is behind.
# A table that is made was not there before, or is an empty partition. One that is renamed has its new name already.
FUNCTION_SQL = f"""
CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    changed jsonb;
BEGIN
    IF tg_event = 'sql_drop' THEN
        SELECT jsonb_agg(DISTINCT to_jsonb(coalesce(root.relname::text, address_names[2]))) INTO changed
        FROM pg_event_trigger_dropped_objects() AS dropped LEFT JOIN pg_class AS root
            ON dropped.classid = 'pg_class'::regclass AND root.oid = coalesce(pg_partition_root(objid), objid)
        WHERE NOT is_temporary AND (
            object_type IN ('table', 'view', 'policy') OR (object_type = 'table column' AND tg_tag <> 'ALTER TABLE')
        );
    ELSE
        SELECT jsonb_agg(DISTINCT coalesce(to_jsonb(root.relname::text), 'null')) INTO changed
        FROM pg_event_trigger_ddl_commands() AS commands LEFT JOIN pg_class AS root
            ON commands.classid = 'pg_class'::regclass AND root.oid = coalesce(pg_partition_root(objid), objid)
        WHERE command_tag IN (
            'ALTER TABLE', 'CREATE VIEW', 'ALTER VIEW', 'CREATE RULE', 'CREATE FUNCTION', 'ALTER FUNCTION',
            'CREATE POLICY', 'ALTER POLICY', 'ALTER TYPE', 'ALTER SCHEMA'
        ) AND schema_name IS DISTINCT FROM 'pg_temp' AND (root.relkind IS NULL OR root.relkind IN ('r', 'p', 'v'))
        AND NOT (classid = 'pg_proc'::regclass AND EXISTS (
            SELECT FROM pg_proc WHERE oid = objid AND prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
        ));
    END IF;
    IF changed IS NOT NULL THEN
        PERFORM pg_logical_emit_message(true, '{SCHEMA_PREFIX}', changed::text);
    END IF;
END $body$
"""
TRIGGERS_SQL = """
    SELECT evtevent::text, pg_has_role(evtowner, 'USAGE') FROM pg_event_trigger
    WHERE evtname = ANY(%s) AND evtenabled = 'A'
"""


def cached_tables(relation: str) -> Sequence[str] | None:
    """Return the cached tables that a relation's name stands for; None where that is not known."""
    names = tables_named(relation.lower())
    return [name for name in names if is_tracked(name)] if names else None


def triggers_of(connection: Any) -> dict[str, bool]:
    """Return the events on which the database tells of changes of its schema, and whether the role may undo that."""
    return dict(query_driver(connection, TRIGGERS_SQL, [[name_of(event) for event in EVENTS]]))


def is_telling(connection: Any) -> bool:
    """Return whether the database tells of all changes of its schema that a relay must know."""
    return len(triggers_of(connection)) == len(EVENTS)


def name_of(event: str) -> str:
    return f"{FUNCTION}_{event}"


def tell_schema_changes(connection: Any) -> None:
    """Have the database tell of them, where the role may: event triggers are a superuser's."""
    statements = [FUNCTION_SQL]
    for event in EVENTS:  # ALWAYS: also in sessions of session_replication_role = replica
        statements += [
            f"DROP EVENT TRIGGER IF EXISTS {name_of(event)}",
            f"CREATE EVENT TRIGGER {name_of(event)} ON {event} EXECUTE FUNCTION {FUNCTION}()",
            f"ALTER EVENT TRIGGER {name_of(event)} ENABLE ALWAYS",
        ]
    try:
        run(connection, *statements)
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", "") != FORBIDDEN:
            raise


def stop_telling(connection: Any) -> None:
    """Take the triggers back."""
    run(
        connection,
        *[f"DROP EVENT TRIGGER IF EXISTS {name_of(event)}" for event in EVENTS],
        f"DROP FUNCTION IF EXISTS {FUNCTION}",
    )
