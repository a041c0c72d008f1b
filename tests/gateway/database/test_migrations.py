"""Keys and billing survive an upgrade, and a database is upgraded once or left as it was."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

# The stages' tables are declared where they are used.
from enginehouse.api import assembly  # noqa: F401 - declares them
from enginehouse.gateway.access.config import AccessConfig
from enginehouse.gateway.access.keyring import Keyring
from enginehouse.gateway.access.keys import KeyStore
from enginehouse.gateway.access.secret import Pepper
from enginehouse.gateway.database import schema as registered
from enginehouse.gateway.database.database import Database, metadata
from enginehouse.gateway.database.migration import current_revision, stage_config
from enginehouse.gateway.database.schema import StageSchema, own_tables, schemas
from enginehouse.gateway.responses import store  # noqa: F401 - declares them
from sqlalchemy import Column, Integer, MetaData, Table

from enginehouse.errors import StoreError, UnauthenticatedError
from tests.gateway.database.conftest import ask, change

_SUMS = "SELECT sum(requests), sum(prompt_tokens), sum(completion_tokens), sum(cost_micros) FROM "
_DAYS = _SUMS + "usage_day"
_ROWS = _SUMS.replace("sum(requests)", "count(*)") + "usage"
_EVERYTHING = {
    "keys": "id", "usage": "id", "usage_day": "tenant, day, key_id, version, source",
    "responses": "id", "response_items": "item_id", "files": "id", "batches": "id",
    "batch_lines": "batch_id",
}  # fmt: skip


def _contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: ask(url, f"SELECT * FROM {name} ORDER BY {order}")  # noqa: S608 - our own names
        for name, order in _EVERYTHING.items()
    }


def _differences(url: str) -> dict[str, list[Any]]:
    """What `compare_metadata` finds between each stage's tables and a database."""
    database = Database(url)
    found: dict[str, list[Any]] = {}
    with database.begin() as connection:
        for stage, schema in schemas().items():
            options = stage_config(connection, schema, metadata).attributes
            context = MigrationContext.configure(
                connection,
                opts={
                    "version_table": schema.version_table,
                    "include_name": options["include_name"],
                    "include_object": lambda thing, name, kind, reflected, _other, schema=schema: (
                        kind != "table" or name in schema.tables
                    ),
                    "compare_type": True,
                },
            )
            found[stage] = compare_metadata(context, metadata)
    database.close()
    return found


def test_keys_of_a_database_without_migrations_still_work(
    old_url: str, old_keys: dict[str, Any]
) -> None:
    database = Database(old_url)
    pepper = Pepper(old_keys["pepper"].encode())

    async def callers() -> list[str]:
        ring = Keyring(KeyStore(database, pepper), pepper, AccessConfig())
        found = [(await ring.caller(text)).tenant for text in old_keys["active"]]
        with pytest.raises(UnauthenticatedError, match="revoked"):
            await ring.caller(old_keys["revoked"])
        await ring.close()
        return found

    assert asyncio.run(callers()) == ["acme", "acme"]
    database.close()


def test_every_row_and_every_sum_of_the_ledger_stays(old_url: str) -> None:
    before, days = _contents(old_url), ask(old_url, _DAYS)
    assert days == [(40, 1180, 2340, 8580)]
    assert all(before.values())
    Database(old_url).close()
    assert _contents(old_url) == before
    assert ask(old_url, _DAYS) == ask(old_url, _ROWS) == days


def test_after_an_upgrade_the_tables_are_those_of_the_code(old_url: str) -> None:
    assert _differences(old_url) == {stage: [] for stage in schemas()}


def test_tables_and_migrations_agree(empty_url: str) -> None:
    """Fails when a table was changed without a migration."""
    assert {"access", "ledger", "responses", "batches"} <= schemas().keys()
    assert {name for schema in schemas().values() for name in schema.tables} == set(metadata.tables)
    assert _differences(empty_url) == {stage: [] for stage in schemas()}


def test_a_table_that_changed_without_a_migration_is_found(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(changed)
    changed.tables["usage"].append_column(Column("carbon_grams", Integer))
    changed.tables["keys"].c.note.nullable = True
    Database(empty_url).close()
    monkeypatch.setattr(f"{__name__}.metadata", changed)
    found = _differences(empty_url)
    assert "carbon_grams" in str(found["ledger"])
    assert "modify_nullable" in str(found["access"])


def test_each_stage_has_one_line_of_revisions() -> None:
    for stage, schema in schemas().items():
        scripts = ScriptDirectory.from_config(stage_config(None, schema, metadata))
        revisions = [script.revision for script in scripts.walk_revisions()]
        assert revisions == [f"{stage}_{n:04d}" for n in range(len(revisions), 0, -1)]


def test_a_newer_database_is_refused_and_left_alone(old_url: str) -> None:
    Database(old_url).close()
    change(old_url, "UPDATE schema_version_ledger SET version_num = 'ledger_9999'")
    before = _contents(old_url)
    with pytest.raises(StoreError, match=r"'ledger_9999', which this version .* a newer one"):
        Database(old_url)
    assert _contents(old_url) == before
    assert ask(old_url, "SELECT * FROM schema_version_ledger") == [("ledger_9999",)]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("ALTER TABLE usage DROP COLUMN cached_micros", "'usage' lacks columns ['cached_micros']"),
        ("ALTER TABLE usage ADD COLUMN mine INTEGER", "'usage' has unknown columns ['mine']"),
        ("DROP INDEX usage_by_tenant", "'usage' lacks indexes ['usage_by_tenant']"),
        ("DROP TABLE usage_day", "table 'usage_day' is missing"),
    ],
)
def test_tables_that_are_not_those_of_0_1_are_refused_and_left_alone(
    old_url: str, statement: str, told: str
) -> None:
    change(old_url, statement)
    with pytest.raises(StoreError) as caught:
        Database(old_url)
    assert told in str(caught.value)
    assert "ENGINEHOUSE_DATABASE_URL" in str(caught.value)
    assert not _version_tables(old_url)


def _version_tables(url: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite:"):
        return ask(url, "SELECT name FROM sqlite_master WHERE name LIKE 'schema_version%%'")
    return ask(url, "SELECT tablename FROM pg_tables WHERE tablename LIKE 'schema_version%%'")


def test_processes_that_start_at_once_migrate_once(old_url: str) -> None:
    code = (
        "import sys\n"
        "from enginehouse.gateway.access import records\n"
        "from enginehouse.gateway.batches import tables\n"
        "from enginehouse.gateway.ledger import tables\n"
        "from enginehouse.gateway.responses import store\n"
        "from enginehouse.gateway.database.database import Database\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "Database(sys.argv[1]).close()\n"
    )
    argv = [sys.executable, "-c", code, old_url]
    started = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert ask(old_url, "SELECT * FROM schema_version_ledger") == [("ledger_0001",)]
    assert ask(old_url, _DAYS) == ask(old_url, _ROWS)


_OWN = """
import sqlalchemy as sa
from alembic import op
revision = "own_{number:04d}"
down_revision = {before!r}
def upgrade():
    {body}
"""
_MAKES = """op.create_table("own_parents", sa.Column("id", sa.Integer, primary_key=True))
    op.create_table("own_children", sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent", sa.Integer, sa.ForeignKey("own_parents.id", ondelete="CASCADE")))"""
_WIDENS = """with op.batch_alter_table("own_parents", recreate="auto") as table:
        table.add_column(sa.Column("label", sa.String, nullable=False, server_default="x"))
        table.alter_column("label", type_=sa.String(40))"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageSchema:
    """A user's own stage with two tables, one of which refers to the other."""
    monkeypatch.setattr(registered, "_schemas", dict(schemas()))
    tables = [Table(name, MetaData()) for name in ("own_parents", "own_children")]
    (tmp_path / "migrations").mkdir()
    return own_tables("own", str(tmp_path / "tables.py"), *tables)


def _revision(own: StageSchema, number: int, body: str) -> None:
    before = f"own_{number - 1:04d}" if number > 1 else None
    text = _OWN.format(number=number, before=before, body=body)
    (own.migrations / f"{number:04d}.py").write_text(text)


def test_a_stage_of_a_user_s_own_has_tables_that_are_upgraded(
    empty_url: str, own: StageSchema
) -> None:
    _revision(own, 1, _MAKES)
    Database(empty_url).close()
    change(
        empty_url,
        "INSERT INTO own_parents VALUES (1)",
        "INSERT INTO own_children VALUES (7, 1)",
    )
    _revision(own, 2, _WIDENS)
    database = Database(empty_url)
    with database.begin() as connection:
        assert current_revision(connection, own) == "own_0002"
    database.close()
    assert ask(empty_url, "SELECT id, label FROM own_parents") == [(1, "x")]
    assert ask(empty_url, "SELECT * FROM own_children") == [(7, 1)]


def test_a_migration_that_fails_changes_nothing_of_any_stage(
    old_url: str, own: StageSchema
) -> None:
    _revision(own, 1, _MAKES)
    _revision(own, 2, _WIDENS + '\n    op.drop_table("own_nowhere")')
    before = _contents(old_url)
    with pytest.raises(StoreError, match="own_nowhere"):
        Database(old_url)
    assert not _version_tables(old_url)
    assert _contents(old_url) == before
    with pytest.raises(Exception, match="own_parents"):
        ask(old_url, "SELECT * FROM own_parents")


def test_without_a_stage_s_folder_the_others_are_upgraded(
    old_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {stage: schema for stage, schema in schemas().items() if stage != "responses"}
    monkeypatch.setattr(registered, "_schemas", left)
    Database(old_url).close()
    assert ("schema_version_responses",) not in _version_tables(old_url)
    monkeypatch.undo()
    Database(old_url).close()
    assert ("schema_version_responses",) in _version_tables(old_url)


def test_a_table_that_was_dropped_is_made_again(old_url: str) -> None:
    Database(old_url).close()
    change(old_url, "DROP TABLE usage")
    Database(old_url).close()
    assert ask(old_url, "SELECT * FROM usage") == []
    assert ask(old_url, _DAYS) == [(40, 1180, 2340, 8580)]


def test_a_stage_and_a_table_are_registered_once() -> None:
    with pytest.raises(ValueError, match="'ledger'"):
        own_tables("ledger", __file__)
    with pytest.raises(ValueError, match="keys"):
        own_tables("other", __file__, metadata.tables["keys"])
