"""The JSON Schema Test Suite as an independent check (draft 2020-12, shared/).

Each schema is refused by name, or its grammar admits no instance that is marked invalid, without
exception, and all that are marked valid. Of formats a grammar writes only the usual spellings, so
some valid instances of `optional/format` are left out; `_UNUSUAL` says which. The main suite takes
`format` as an annotation; here it is an assertion, as in `optional/format`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from enginehouse.engine.json_schema import SchemaRefusedError, schema_grammar

from tests.engine.json_schema.judge import Judge

SUITE = Path(__file__).parents[4] / "shared" / "json-schema-test-suite" / "draft2020-12"
FILES = sorted(SUITE.rglob("*.json"))
#: Spellings of a format that the grammars here do not generate.
_UNUSUAL: dict[str, Callable[[str], bool]] = {
    "time": lambda text: ":60" in text,  # leap seconds but those at 23:59:60 UTC
    "date-time": lambda text: ":60" in text,
    "email": lambda text: '"' in text or "[" in text,  # quoted names, addresses in brackets
    # Two hyphens in a row, as names of IDNA have them, and labels of more than 31 letters.
    "hostname": lambda text: "--" in text or max(map(len, text.split("."))) > 31,
    "duration": lambda text: len(text) > 40,  # more than nine digits of a unit
}


@dataclass(frozen=True)
class Verdict:
    """One instance against one schema's grammar."""

    where: str
    schema: Any
    instance: Any
    valid: bool
    admitted: bool

    @property
    def unusual(self) -> bool:
        """Whether a valid instance may be missing; see above."""
        if self.where.startswith("format.json"):
            return "only an annotation" in self.where
        unusual = _UNUSUAL.get(self.schema.get("format", "")) if "optional" in self.where else None
        return unusual is not None and unusual(self.instance)


@dataclass
class Outcome:
    """All verdicts, and the refusals with their sentences."""

    verdicts: list[Verdict]
    refusals: dict[str, str]
    schemas: Counter[str]


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    found = Outcome([], {}, Counter())
    assert FILES, f"the suite is not at {SUITE}"
    for path in FILES:
        part = "optional" if "optional" in path.parts else "main"
        for case in json.loads(path.read_text()):
            where = f"{'optional/' if part == 'optional' else ''}{path.name}: {case['description']}"
            found.schemas[f"{part}, schemas"] += 1
            try:
                judge = Judge(schema_grammar(json.dumps(case["schema"])))
            except SchemaRefusedError as error:
                found.refusals[where] = str(error)
                found.schemas[f"{part}, refused"] += 1
                _count_refused(found, case["tests"], str(error))
                continue
            for test in case["tests"]:
                found.verdicts.append(
                    Verdict(
                        f"{where}: {test['description']}",
                        case["schema"],
                        test["data"],
                        test["valid"],
                        judge.admits_value(test["data"]),
                    )
                )
    return found


def _count_refused(found: Outcome, tests: list[dict[str, Any]], sentence: str) -> None:
    """A schema that nothing fits is refused rightly only if no instance is valid."""
    if "nothing can match" in sentence:
        found.schemas["nothing fits, rightly"] += not any(test["valid"] for test in tests)
        assert not any(test["valid"] for test in tests), tests


def test_no_invalid_instance_is_admitted(outcome: Outcome) -> None:
    assert [v for v in outcome.verdicts if v.admitted and not v.valid] == []


def test_every_valid_instance_is_admitted_but_unusual_spellings_of_formats(
    outcome: Outcome,
) -> None:
    missing = [v for v in outcome.verdicts if v.valid and not v.admitted]
    assert [v for v in missing if not v.unusual] == []
    # Otherwise an exception of the table is not needed any more.
    assert {v.schema["format"] for v in missing if "optional" in v.where} == set(_UNUSUAL)


def test_every_refusal_names_its_place(outcome: Outcome) -> None:
    for where, sentence in outcome.refusals.items():
        assert "/" in sentence or "$schema" in sentence or "nothing can match" in sentence, where


def test_most_schemas_are_supported(outcome: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    counted = outcome.schemas
    supported = counted["main, schemas"] - counted["main, refused"]
    right = sum(v.admitted == v.valid for v in outcome.verdicts)
    with capsys.disabled():
        print(
            f"\nJSON Schema Test Suite: {supported} of {counted['main, schemas']} schemas kept "
            f"({counted['nothing fits, rightly']} more that nothing fits), "
            f"{right} of {len(outcome.verdicts)} instances judged alike, 0 admitted wrongly"
        )
    assert counted["main, schemas"] == 383
    assert supported >= 289
