"""What others wrote is shown as it is: no markup, no emoji codes, nothing a terminal acts upon."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from enginehouse.cli import common, experiments, keys_view, main, quality, serving, usage, versions
from enginehouse.cli.app import app
from enginehouse.cli.release_view import history_view, release_view
from enginehouse.cli.terminal import Terminal, plain, styled
from enginehouse.cli.version_tables import diff_table, garbage_table, version_table
from enginehouse.gateway.ledger.report import UsageGrouping, UsageRow
from enginehouse.registry.diff import BundleDiff, DiffRow
from enginehouse.registry.garbage import Garbage
from enginehouse.registry.history import ReleaseRecord
from enginehouse.registry.quality.drift import Drift, DriftVerdict
from enginehouse.registry.quality.evaluate import Evaluation, Scored
from enginehouse.registry.quality.pairs import ScorerComparison
from enginehouse.registry.records import TAG_LABEL, TAG_RUNTIME, VersionRecord
from enginehouse.registry.release_state import ReleaseEvent
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text
from typer.testing import CliRunner

from enginehouse.errors import RegistryError
from enginehouse.settings import Settings

HOSTILE = [
    "[/var/log/x]",
    "[/]",
    "[bold]x",
    "[link=https://a.example]x[/link]",
    "[red",
    "\\[x]",
    "a]b[c",
    ":warning: :id:",
    "[@click=quit]x",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe",
]
_NOW = datetime(2026, 11, 30, tzinfo=UTC)


def _shown(what: RenderableType) -> str:
    out = io.StringIO()
    Terminal(file=out, width=5000).print(what, soft_wrap=True)
    return out.getvalue()


def _model(text: str) -> dict[str, Any]:
    rollout = dict.fromkeys(
        ("id", "actor", "phase", "reason", "paused_reason", "abort_reason", "forced_by"), text
    )
    return {
        "model": text, "generation": 1, "weights": {text: 100}, "champion": text, "previous": text,
        "ready": [text], "kind": "rollout", "problem": text,
        "rollout": {**rollout, "step": 0, "step_started_at": 0.0},
        "steps": [{"weight": 1, "shadow": 0, "min_duration_s": 1, "min_samples": 1}],
        "gates": [
            {"name": text, "verdict": text, "reason": text, "overridden_by": text,
             "override_reason": text}
        ],
        "analyses": [
            {"name": text, "verdict": text, "champion": 1.0, "champion_samples": 1,
             "challenger": 1.0, "challenger_samples": 1, "reason": text}
        ],
    }  # fmt: skip


def _release(text: str) -> ReleaseRecord:
    event = ReleaseEvent(number=1, at=0.0, kind=text, phase=text, weights={}, reason=f"{text}!")
    return ReleaseRecord(
        id=text, run_id="r", model=text, kind=text, champion=1, challenger=2, actor=text,
        reason=text, started=_NOW, ended=None, outcome=text, events=(event,),
        metrics={f"{text}.effect": 1.0},
    )  # fmt: skip


def _version(text: str) -> VersionRecord:
    tags = {TAG_LABEL: text, TAG_RUNTIME: text}
    return VersionRecord(text, 1, (text,), text, _NOW, tags)


def _diff(text: str) -> BundleDiff:
    row = DiffRow(text, text, text, text, "changed")
    return BundleDiff(text, text, (row,), (text,), (text,))


def _evaluation(text: str) -> Evaluation:
    scored = Scored(1, text, {}, frozenset(), 1)
    one = ScorerComparison(
        text, 1, rate=True, first=0.5, second=0.5, gained=0, lost=0, p_value=0.01
    )
    return Evaluation(text, 1, scored, scored, (one,))


_VIEWS: dict[str, Callable[[str], RenderableType]] = {
    "release": lambda text: release_view(_model(text)),
    "history": lambda text: history_view(text, [_release(text)]),
    "versions": lambda text: version_table([_version(text)], None),
    "diff": lambda text: diff_table(_diff(text)),
    "garbage": lambda text: garbage_table([Garbage(text, 1, text, lambda: None)]),
    "usage": lambda text: usage._table(
        [UsageRow({"tenant": text}, 1, 1, 1, 1, 1.0, 1, text)], (UsageGrouping.TENANT,)
    ),
    "evaluation": lambda text: quality._evaluation_table(_evaluation(text)),
    "drift": lambda text: quality._drift_table(text, [Drift(text, text, DriftVerdict.NONE, 1, 1)]),
    "line": lambda text: styled((text, "bold red"), f" {text}"),
    "text": lambda text: text,
}


@pytest.mark.parametrize("view", _VIEWS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_view_shows_foreign_text_as_it_is(view: str, text: str) -> None:
    shown = _shown(_VIEWS[view](text))
    assert plain(text) in shown
    assert shown == plain(shown)


def _printed(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> str:
    """What a function prints on both consoles."""
    out = io.StringIO()
    for module in (common, experiments, keys_view, quality, serving, usage, versions):
        for name in ("console", "progress"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, Terminal(file=out, width=5000))
    act()
    return out.getvalue()


def _key(text: str) -> Any:
    return SimpleNamespace(
        id=text, tenant=text, roles=[text], models=[text],
        state=lambda _: SimpleNamespace(value="x"), expires_at=None, last_used_at=None,
        note=text, previous_until=None,
    )  # fmt: skip


def _pair(text: str) -> Any:
    return SimpleNamespace(
        request_id=text, champion=1, shadow=2, prompt=text, champion_answer=text,
        shadow_answer=text, comparison=SimpleNamespace(similarity=0.5),
    )  # fmt: skip


_PRINTS: dict[str, Callable[[str], object]] = {
    "say": common.say,
    "keys list": lambda text: keys_view.show_keys([_key(text)], as_json=False),
    "shadow pairs": lambda text: quality._show_pairs([_pair(text)], 1),
    "status": lambda text: serving._print_status(
        {
            "api": {"up": True, "url": text},
            "triton": {"up": False, "url": text},
            "models": [{"model": text, "runtime": text, "status": text}],
        }
    ),
    "up": lambda text: serving._announce(_settings(text), {text: 1}),
    "chat": lambda text: serving._tell(_chatting(text), text, [], 1, 0.0),
}


def _settings(text: str) -> Any:
    real = Settings(home=Path("/x"))
    return SimpleNamespace(
        addresses=real.addresses,
        replica_addresses=real.replica_addresses,
        logs_dir=f"/x/{text}/logs",
        endpoint=SimpleNamespace(keys=True),
    )


def _chatting(text: str) -> Any:
    return SimpleNamespace(stream=lambda *_, **__: iter([text, "\n", text]))


@pytest.mark.parametrize("print_", _PRINTS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_command_prints_foreign_text_as_it_is(
    monkeypatch: pytest.MonkeyPatch, print_: str, text: str
) -> None:
    shown = _printed(monkeypatch, lambda: _PRINTS[print_](text))
    assert plain(text) in shown
    assert shown == plain(shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_error_is_one_line_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    def fails() -> None:
        raise RegistryError(text)

    monkeypatch.setattr("enginehouse.cli.app.app", fails)
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == f"error: {plain(text)}\n"


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\x1b" not in text])
def test_arguments_of_commands_break_nothing(text: str, tmp_path: Any) -> None:
    environ = {"ENGINEHOUSE_HOME": str(tmp_path), "COLUMNS": "200"}
    for argv in (
        ["versions", text],
        ["rollout", "history", text],
        ["rollout", "history", "m", "--at", text],
        ["label", text, text, text],
        ["keys", "revoke", text],
        ["usage", "--by", text],
        ["experiment", "report", text],
        ["shadow", text],
    ):
        done = CliRunner().invoke(app, argv, env=environ)
        assert not done.exception or type(done.exception).__module__ != "rich.errors", argv


def _expanded(text: str) -> str:
    """Tabs as spaces up to the next eighth cell; a wide character takes two cells."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for part in line.split("\t"):
            shown += part
            shown += " " * (8 - cell_len(shown) % 8)
        lines.append(shown)
    return "\n".join(lines)


@given(st.text())
def test_any_text_comes_out_as_plain_says(text: str) -> None:
    shown = _shown(styled((text, "bold")))
    assert shown == plain(shown)
    flat = _expanded(plain(text))
    assert [line.rstrip() for line in shown.split("\n")] == [
        line.rstrip() for line in f"{flat}\n".split("\n")
    ]


def test_a_text_that_somebody_made_themselves_drives_no_terminal() -> None:
    assert _shown(Text("a\x1b[2Jb")) == "a[2Jb\n"


def test_the_process_streams_are_those_of_now(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().print("[x]")
    Terminal(stderr=True).print("[y]")
    assert capsys.readouterr() == ("[x]\n", "[y]\n")
    assert sys.stdout is not None
