"""A migration operation for tables that grow with time (docs/decisions/0004-readings-table.md)."""

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import CreateModel
from django.db.migrations.state import ProjectState


class CreatePartitionedModel(CreateModel):
    """Create a model's table; on PostgreSQL, partitioned by ranges of a column, with a default partition for all.

    The database's primary key is (id, column) there, as PostgreSQL requires of a partitioned table; Django's is id.
    Its ids come from a sequence: partitioned tables have no identity columns before PostgreSQL 17. Constraints and
    indexes are added by later operations, as any unique one of them must hold the column too.
    """

    def __init__(self, *args: Any, partition_by: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.partition_by = partition_by

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        name, args, options = super().deconstruct()
        return name, args, options | {"partition_by": self.partition_by}

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        super().database_forwards(app_label, schema_editor, from_state, to_state)
        model = to_state.apps.get_model(app_label, self.name)
        if schema_editor.connection.vendor == "postgresql" and self.allow_migrate_model(
            schema_editor.connection.alias, model
        ):
            for statement in self.partitioning(model._meta.db_table):
                schema_editor.execute(statement)

    def partitioning(self, table: str) -> list[str]:
        """Return the statements that put a partitioned table into the place of a new and empty plain one."""
        return [
            f'ALTER TABLE "{table}" RENAME TO "{table}_plain"',
            f'CREATE TABLE "{table}" (LIKE "{table}_plain") PARTITION BY RANGE ("{self.partition_by}")',
            f'DROP TABLE "{table}_plain"',
            f'CREATE SEQUENCE "{table}_id_seq" OWNED BY "{table}"."id"',
            f"""ALTER TABLE "{table}" ALTER COLUMN "id" SET DEFAULT nextval('"{table}_id_seq"')""",
            f'ALTER TABLE "{table}" ADD PRIMARY KEY ("id", "{self.partition_by}")',
            f'CREATE TABLE "{table}_default" PARTITION OF "{table}" DEFAULT',
        ]

    def describe(self) -> str:
        return f"{super().describe()}, partitioned by {self.partition_by} on PostgreSQL"
