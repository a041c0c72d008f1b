"""Drafts a migration: ``python -m enginehouse.gateway.database.new_revision STAGE MESSAGE MODULE``.

`MODULE` declares the stage's tables, for example ``enginehouse.gateway.ledger.tables``. The tables
in the code are compared with those that the stage's migrations make, in a database in memory, and
the difference is written into the stage's folder ``migrations``. Read it before use: a renamed
column looks like one that went and one that came.
"""

from __future__ import annotations

import sys
from importlib import import_module

from alembic import command
from enginehouse.gateway.database.database import metadata
from enginehouse.gateway.database.migration import stage_config
from enginehouse.gateway.database.schema import schemas
from sqlalchemy import create_engine


def new_revision(stage: str, message: str) -> str:
    """Write the draft; its path.

    Args:
        stage: whose module is imported already.

    Raises:
        KeyError: if the stage has registered no tables.
    """
    schema = schemas()[stage]
    schema.migrations.mkdir(exist_ok=True)
    number = len(list(schema.migrations.glob("[0-9]*.py"))) + 1
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        config = stage_config(connection, schema, metadata)
        command.upgrade(config, "head")
        made = command.revision(
            config, message, autogenerate=True, rev_id=f"{stage}_{number:04d}",
            head="head" if number > 1 else "base",
        )  # fmt: skip
    engine.dispose()
    return str(getattr(made, "path", made))


if __name__ == "__main__":
    for module in sys.argv[3:]:
        import_module(module)
    print(new_revision(sys.argv[1], sys.argv[2]))  # noqa: T201 - the path for the author
