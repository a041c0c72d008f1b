"""Run by Alembic for each stage: the connection and its open transaction come from `migration`."""

from __future__ import annotations

from alembic import context

_given = context.config.attributes

context.configure(
    connection=_given["connection"],
    target_metadata=_given["metadata"],
    version_table=_given["version_table"],
    include_name=_given["include_name"],
    # SQLite changes a table by writing it anew.
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
