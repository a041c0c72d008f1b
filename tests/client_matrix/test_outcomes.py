"""How a script's lines are judged, and what the page says of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.client_matrix.outcomes import MARK, ClientRun, Outcome, Verdict, cell, judge
from tests.client_matrix.page import COLUMNS, Facts, render
from tests.client_matrix.saved import load, save

_FACTS = Facts("0.1.0", "Linux x86_64, Python 3.11.7")


def line(name: str, *, ok: bool, column: str = "chat", limit: str | None = None) -> dict[str, Any]:
    said = {"scenario": name, "column": column, "limit": limit}
    return said | {"ok": ok, "detail": "" if ok else "ValueError: it broke"}


def output(*lines: dict[str, Any]) -> str:
    declared = {"declared": [one["scenario"] for one in lines]}
    said = [f"\n{MARK}{json.dumps(one)}\n" for one in (declared, *lines)]
    return "a client's own words\n".join(said)


def judged(*lines: dict[str, Any]) -> ClientRun:
    return judge("A client", ("client 1.0",), output(*lines), "exit status 0")


def test_all_that_is_promised_works() -> None:
    run = judged(line("a", ok=True), line("b", ok=False, limit="the engine cannot"))
    assert run.promised
    assert [one.verdict for one in run.outcomes] == [Verdict.WORKS, Verdict.LIMIT]
    assert run.outcomes[1].detail == "the engine cannot"


def test_a_failure_is_a_failure() -> None:
    run = judged(line("a", ok=True), line("b", ok=False))
    assert not run.promised
    assert run.outcomes[1] == Outcome("b", "chat", Verdict.FAILED, "ValueError: it broke")


def test_a_limit_that_holds_no_longer_is_reported() -> None:
    run = judged(line("a", ok=True, limit="the engine cannot"))
    assert run.promised
    assert run.surprises == ("a",)


def test_scenarios_that_did_not_come_to_their_end_have_failed() -> None:
    cut = output(line("a", ok=True), line("b", ok=True)).rsplit(MARK, 1)[0]
    run = judge("A client", (), cut, "exit status -9")
    assert not run.promised
    assert run.outcomes[1] == Outcome(
        "b", "", Verdict.FAILED, "did not come to its end: exit status -9"
    )


@pytest.mark.parametrize("said", ["", "Traceback: no module"])
def test_a_script_that_declares_nothing_has_failed(said: str) -> None:
    run = judge("A client", (), "no line of ours", said)
    assert not run.promised
    assert run.failure == (said or "the script said nothing")


def test_a_line_separator_inside_an_answer_ends_no_line() -> None:
    run = judged(line("a\u2028b\x85c", ok=True))
    assert [one.scenario for one in run.outcomes] == ["a\u2028b\x85c"]


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ((), "-"),
        ((Verdict.WORKS,), "yes"),
        ((Verdict.LIMIT,), "limit"),
        ((Verdict.WORKS, Verdict.LIMIT), "yes, with a limit"),
        ((Verdict.WORKS, Verdict.LIMIT, Verdict.FAILED), "**no**"),
    ],
)
def test_a_cell_tells_the_worst_that_is_promised(verdicts: tuple[Verdict, ...], said: str) -> None:
    outcomes = [Outcome(str(place), "chat", one) for place, one in enumerate(verdicts)]
    assert cell(outcomes, "chat") == said
    assert cell(outcomes, "tools") == "-"


def test_the_page_has_a_row_and_a_section_for_each_client() -> None:
    runs = [
        judged(line("asks", ok=True), line("limited", ok=False, limit="it cannot")),
        ClientRun("Absent", (), failure="not installed: a|b <x>", date="2026-11-30"),
    ]
    page = render(runs, _FACTS)
    rows = [row for row in page.split("\n") if row.startswith("| ")]
    assert all(len(re.split(r"(?<!\\)\|", row)) == len(COLUMNS) + 5 for row in rows)
    assert rows[2].startswith("| A client | client 1.0 | yes, with a limit | - |")
    assert rows[3].count("**no**") == len(COLUMNS)
    assert "1 of 2 scenarios work." in page
    assert "- limited: **limit**, it cannot\n" in page
    assert "Did not run: not installed: a\\|b &lt;x>\n" in page
    assert rows[3].endswith("| 2026-11-30 |")


def test_a_run_is_kept_whole(tmp_path: Path) -> None:
    run = replace(
        judged(line("a", ok=True), line("b", ok=True, limit="no"), line("c", ok=False)),
        date="2026-11-30",
    )
    home = tmp_path / "client"
    assert load(home) is None
    save(run, home)
    assert load(home) == run
