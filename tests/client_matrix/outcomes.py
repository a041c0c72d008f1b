"""What a client's scenarios said, judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MARK = "@matrix "


class Verdict(StrEnum):
    """What the table says of one scenario."""

    WORKS = "works"
    FAILED = "failed"
    #: It does not work, and it is not promised to.
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scenario of one client.

    Attributes:
        column: of the table, or empty.
        detail: why it failed, or the limit's sentence.
    """

    scenario: str
    column: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ClientRun:
    """All that one client gave.

    Attributes:
        failure: why it has no outcomes: not installed, or the script died.
        surprises: scenarios that worked in spite of their limit.
        date: of the run, ISO, in UTC.
    """

    title: str
    versions: tuple[str, ...]
    outcomes: tuple[Outcome, ...] = ()
    failure: str = ""
    surprises: tuple[str, ...] = ()
    date: str = ""

    @property
    def promised(self) -> bool:
        """Whether all that is promised worked."""
        return not self.failure and all(one.verdict != Verdict.FAILED for one in self.outcomes)


def read(output: str) -> tuple[list[str], list[dict[str, Any]]]:
    """The declared scenarios and the lines of those that came to an end."""
    lines = [
        json.loads(line.removeprefix(MARK)) for line in output.split("\n") if line.startswith(MARK)
    ]
    declared = [name for line in lines for name in line.get("declared", ())]
    return declared, [line for line in lines if "scenario" in line]


def judge(title: str, versions: tuple[str, ...], output: str, said: str) -> ClientRun:
    """Judge a script's output.

    Args:
        said: its last words elsewhere, for one that did not come to its end.
    """
    declared, lines = read(output)
    if not declared:
        return ClientRun(title, versions, failure=said or "the script said nothing")
    found = [_outcome(line) for line in lines]
    missing = declared[len(lines) :]
    found += [
        Outcome(name, "", Verdict.FAILED, f"did not come to its end: {said}") for name in missing
    ]
    surprises = [line["scenario"] for line in lines if line["ok"] and line["limit"]]
    return ClientRun(title, versions, tuple(found), surprises=tuple(surprises))


def _outcome(line: Mapping[str, Any]) -> Outcome:
    name, column = str(line["scenario"]), str(line["column"])
    if line["ok"]:
        return Outcome(name, column, Verdict.WORKS, str(line["detail"]))
    if line["limit"]:
        return Outcome(name, column, Verdict.LIMIT, str(line["limit"]))
    return Outcome(name, column, Verdict.FAILED, str(line["detail"]))


def cell(outcomes: Iterable[Outcome], column: str) -> str:
    """A cell of the table: whether all promised scenarios of the column work."""
    verdicts = {one.verdict for one in outcomes if one.column == column}
    if not verdicts:
        return "-"
    if Verdict.FAILED in verdicts:
        return "**no**"
    if Verdict.WORKS not in verdicts:
        return "limit"
    return "yes, with a limit" if Verdict.LIMIT in verdicts else "yes"
