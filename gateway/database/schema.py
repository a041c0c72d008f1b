"""Which stage has which tables, and where their migrations are.

A stage declares its tables in `enginehouse.gateway.database.database.metadata`, names them here
with `own_tables`, and keeps its migrations in a folder ``migrations`` beside that module. Each
stage has a version table of its own, so a stage's folder can go without leaving a gap in the
others' history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import Table

_schemas: dict[str, StageSchema] = {}


@dataclass(frozen=True, slots=True)
class StageSchema:
    """The tables of a stage.

    Attributes:
        stage: lower-case name, unique among all stages.
        migrations: folder of Alembic revisions.
        tables: names, none of which another stage has.
    """

    stage: str
    migrations: Path
    tables: frozenset[str]

    @property
    def version_table(self) -> str:
        """The table that holds the revision which the stage's tables have."""
        return f"schema_version_{self.stage}"


def own_tables(stage: str, module_file: str, *tables: Table) -> StageSchema:
    """Register a stage's tables; a database that is opened after that has them.

    Args:
        module_file: ``__file__`` of a module that lies beside the folder ``migrations``.

    Raises:
        ValueError: if the stage or a table is registered already.
    """
    names = frozenset(table.name for table in tables)
    taken = {name for other in _schemas.values() for name in other.tables} & names
    if stage in _schemas or taken:
        what = f"tables {sorted(taken)}" if taken else f"stage {stage!r}"
        message = f"{what}: registered by another stage already"
        raise ValueError(message)
    found = StageSchema(stage, Path(module_file).parent / "migrations", names)
    _schemas[stage] = found
    return found


def schemas() -> Mapping[str, StageSchema]:
    """Those of all stages that are imported, by stage."""
    return MappingProxyType(_schemas)
