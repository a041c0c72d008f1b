from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from enginehouse.cli.app import app
from enginehouse.gateway.access.secret import Pepper, id_of
from enginehouse.gateway.database.database import Database
from typer.testing import CliRunner

from enginehouse.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINEHOUSE_HOME", str(tmp_path))
    return tmp_path


def _keys(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def _listed() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(_keys("list", "--json").stdout)
    return found


def test_the_secret_is_all_that_stands_on_stdout() -> None:
    made = _keys("create", "--tenant", "acme", "--model", "smollm2@8", "--expires", "30d")
    assert made.exit_code == 0
    assert made.stdout.count("\n") == 1
    key_id = id_of(made.stdout.strip())
    assert made.stdout.strip() not in made.stderr
    (listed,) = _listed()
    assert (listed["id"], listed["tenant"], listed["models"]) == (key_id, "acme", ["smollm2@8"])
    assert "key" not in listed
    assert made.stdout.strip()[16:] not in _keys("list").stdout


def test_a_key_is_rotated_and_revoked(home: Path) -> None:
    made = json.loads(_keys("create", "--tenant", "acme", "--role", "read", "--json").stdout)
    rotated = json.loads(_keys("rotate", made["id"], "--grace", "15m", "--json").stdout)
    assert rotated["previous_until"] == pytest.approx(rotated["rotated_at"] + 900.0)
    assert rotated["roles"] == ["read"]
    from enginehouse.gateway.access.keys import KeyStore

    settings = Settings(home=home)
    database = Database(settings.database_url)
    stored = KeyStore(database, Pepper.of(settings)).lookup(made["id"])
    database.close()
    assert stored is not None
    assert stored.digest == Pepper.of(settings).digest(rotated["key"])
    assert _keys("revoke", made["id"]).exit_code == 0
    assert [key["state"] for key in _listed()] == ["revoked"]


def test_a_table_names_the_keys() -> None:
    made = json.loads(_keys("create", "--tenant", "acme", "--note", "[bold]x", "--json").stdout)
    shown = _keys("list", "--tenant", "acme").stdout
    assert made["id"] in shown
    assert made["id"] not in _keys("list", "--tenant", "other").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--tenant", "acme", "--expires", "soon"),
        ("rotate", "000000000000", "--grace", "1"),
        ("rotate", "000000000000"),
        ("revoke", "000000000000"),
        ("create", "--tenant", "a b"),
        ("create", "--tenant", "a", "--role", "root"),
    ],
)
def test_what_cannot_be_done_fails(arguments: tuple[str, ...]) -> None:
    assert _keys(*arguments).exit_code != 0
    assert _listed() == []


@pytest.mark.parametrize("command", ["create", "list", "rotate", "revoke", "triton-flags"])
def test_every_command_shows_an_example(command: str) -> None:
    assert "Example:" in _keys(command, "--help").stdout
