"""No command fails because a terminal cannot show a character."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from enginehouse.cli import main
from enginehouse.cli.app import app
from enginehouse.cli.terminal import take_any_text
from enginehouse.registry import Registry

from enginehouse.settings import load_settings
from tests.fake_bundle import fake_bundle

_ENCODINGS = ["ascii", "latin-1", "cp1252", "koi8-r", "utf-8"]
_ONE_MORE = pytest.mark.slow(reason="one more process")
_FOREIGN = "Ärger → 日本 \U0001f600 \udce4"


def _commands(group: typer.Typer = app, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    command = typer.main.get_command(group)
    context = typer.Context(command)
    yield before
    for name in getattr(command, "list_commands", lambda _: ())(context):
        found = command.get_command(context, name)
        yield (*before, name)
        for inner in getattr(found, "commands", {}):
            yield (*before, name, inner)


def _run(monkeypatch: pytest.MonkeyPatch, encoding: str, argv: tuple[str, ...]) -> bytes:
    """Both outputs of a command on a terminal of an encoding."""
    raw = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding, write_through=True))
    monkeypatch.setattr(sys, "argv", ["enginehouse", *argv])
    with pytest.raises(SystemExit):
        main()
    return raw.getvalue()


@pytest.mark.parametrize(
    "encoding",
    [
        "ascii",
        pytest.param("latin-1", marks=pytest.mark.slow(reason="ascii has fewer characters")),
    ],
)
@pytest.mark.parametrize("argv", sorted(set(_commands())), ids=" ".join)
def test_the_help_of_every_command_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, encoding: str, argv: tuple[str, ...]
) -> None:
    assert b"Usage" in _run(monkeypatch, encoding, (*argv, "--help"))


@pytest.mark.parametrize("encoding", _ENCODINGS)
def test_errors_and_tables_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoding: str
) -> None:
    monkeypatch.setenv("ENGINEHOUSE_HOME", str(tmp_path / "heim-ä-日本"))
    settings = load_settings({"ENGINEHOUSE_HOME": str(tmp_path / "heim-ä-日本")}, cwd=tmp_path)
    registry = Registry(settings)
    registry.register(fake_bundle(tmp_path / "b"), "smollm2")
    with registry.session() as client:
        client.set_model_version_tag("smollm2", "1", "enginehouse.runtime", "x-ä日")
    assert b"x-" in _run(monkeypatch, encoding, ("versions", "smollm2"))
    assert b"error: " in _run(monkeypatch, encoding, ("versions", "smollm2", "--label", _FOREIGN))
    assert b"name" in _run(monkeypatch, encoding, ("versions", "--json"))
    assert _run(monkeypatch, encoding, ("versions", "--no-such-option", _FOREIGN))
    assert _run(monkeypatch, encoding, ("perf", "profiles"))


@pytest.mark.parametrize("encoding", _ENCODINGS)
def test_what_an_encoding_lacks_is_written_out(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, write_through=True)
    take_any_text(stream)
    stream.write(_FOREIGN)
    assert b"\\udce4" in raw.getvalue()
    assert (
        raw.getvalue()
        .decode(encoding)
        .startswith(_FOREIGN.encode(encoding, "backslashreplace").decode(encoding))
    )


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"PYTHONIOENCODING": "ascii"}, marks=_ONE_MORE),
        pytest.param({"PYTHONIOENCODING": "latin-1:strict"}, marks=_ONE_MORE),
        {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_a_process_of_its_own_survives_its_terminal(environ: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "enginehouse", "label", "m", "1", _FOREIGN[:-2]]
    done = subprocess.run(
        argv, env={"PATH": "/usr/bin", **environ}, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"error: " in done.stderr
