"""Bring the tables of each stage to the revision that this version of the code needs.

Everything happens in the caller's transaction: a migration that fails changes nothing. A database
that was made before there were migrations has tables and no version table. It is compared with
the first revision, then marked as having it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from enginehouse.gateway.database.schema import StageSchema
from sqlalchemy import Connection, MetaData, create_engine, inspect

from enginehouse.errors import StoreError

_SCRIPTS = Path(__file__).parent / "alembic"
# Alembic's `op` and `context` are one for the whole process.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class TableShape:
    """What a table is recognised by: names of its columns, of its key's columns, of its indexes."""

    columns: frozenset[str]
    key: frozenset[str]
    indexes: frozenset[str]


def migrate(connection: Connection, schema: StageSchema, metadata: MetaData) -> None:
    """Upgrade one stage's tables, or make those that are missing.

    Args:
        connection: in a transaction that holds off every other process that migrates.

    Raises:
        StoreError: if a newer version of the code has written the tables, or if they are not what
            the first revision makes.
    """
    with _one_at_a_time:
        config = stage_config(connection, schema, metadata)
        scripts = ScriptDirectory.from_config(config)
        found = current_revision(connection, schema)
        known = {script.revision for script in scripts.walk_revisions()}
        if found is not None and found not in known:
            raise StoreError(
                f"the tables of stage {schema.stage!r} have revision {found!r}, which this version "
                "of Enginehouse does not know: a newer one has upgraded them. Start that version, "
                "or restore the copy made before the upgrade"
            )
        first = scripts.get_base()
        if found is None and first is not None and _present(connection, schema):
            _check_first(connection, schema, metadata, first)
            command.stamp(config, first)
        if found != scripts.get_current_head():
            command.upgrade(config, "head")
        else:
            # A table that somebody dropped is made again, empty.
            metadata.create_all(connection, [metadata.tables[name] for name in schema.tables])


def stage_config(connection: Connection | None, schema: StageSchema, metadata: MetaData) -> Config:
    """Alembic's configuration for one stage."""
    config = Config()
    config.set_main_option("script_location", _escaped(_SCRIPTS))
    config.set_main_option("version_locations", _escaped(schema.migrations))
    # No folder's name has a line break here; colons and spaces may be in one.
    config.set_main_option("path_separator", "newline")
    config.attributes |= {
        "connection": connection,
        "metadata": metadata,
        "version_table": schema.version_table,
        "include_name": lambda name, kind, _parents: kind != "table" or name in schema.tables,
    }
    return config


def current_revision(connection: Connection, schema: StageSchema) -> str | None:
    """The revision that a database has of a stage's tables; None if it has no version table."""
    options = {"version_table": schema.version_table}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _escaped(path: Path) -> str:
    """For `ConfigParser`, which reads % as the beginning of a name."""
    return str(path).replace("%", "%%")


def _present(connection: Connection, schema: StageSchema) -> bool:
    return bool(schema.tables & set(inspect(connection).get_table_names()))


def _check_first(
    connection: Connection, schema: StageSchema, metadata: MetaData, first: str
) -> None:
    found = _shapes(connection, schema)
    expected = _first_shapes(schema, metadata, first)
    differences = [
        f"table {name!r} {_difference(found.get(name), shape)}"
        for name, shape in sorted(expected.items())
        if found.get(name) != shape
    ]
    if differences:
        raise StoreError(
            f"the tables of stage {schema.stage!r} were not made by Enginehouse 0.1, from which "
            f"they can be upgraded: {'; '.join(differences)}. Nothing was changed: name another "
            "database in ENGINEHOUSE_DATABASE_URL, or restore a copy"
        )


def _first_shapes(schema: StageSchema, metadata: MetaData, first: str) -> dict[str, TableShape]:
    """What the first revision makes, tried in a database in memory."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            command.upgrade(stage_config(connection, schema, metadata), first)
            return _shapes(connection, schema)
    finally:
        engine.dispose()


def _shapes(connection: Connection, schema: StageSchema) -> dict[str, TableShape]:
    known = inspect(connection)
    return {
        name: TableShape(
            frozenset(column["name"] for column in known.get_columns(name)),
            frozenset(known.get_pk_constraint(name)["constrained_columns"]),
            frozenset(str(index["name"]) for index in known.get_indexes(name)),
        )
        for name in known.get_table_names()
        if name in schema.tables
    }


def _difference(found: TableShape | None, expected: TableShape) -> str:
    if found is None:
        return "is missing"
    parts = []
    for what in ("columns", "key", "indexes"):
        has, should = getattr(found, what), getattr(expected, what)
        if should - has:
            parts.append(f"lacks {what} {sorted(should - has)}")
        if has - should:
            parts.append(f"has unknown {what} {sorted(has - should)}")
    return " and ".join(parts)
