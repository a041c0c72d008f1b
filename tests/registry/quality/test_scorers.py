from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.registry.quality.scorers import (
    ends_properly,
    expected_parts,
    is_json,
    normalized,
    user_scorers,
)

from enginehouse.errors import SpecError


@pytest.mark.parametrize(
    ("text", "finish", "proper"),
    [
        ("This is a whole sentence, and it has an end here.", "stop", True),
        ("This is a whole sentence, and it has an end here.", "length", False),
        ("This one was going to say much more about the", "stop", False),
        ("Paris", "stop", True),
        ("", "stop", False),
        ("```python\nprint(1)\n```", None, True),
    ],
)
def test_an_answer_that_was_cut_off_does_not_end_properly(
    text: str, finish: str | None, *, proper: bool
) -> None:
    assert ends_properly(text, finish) is proper


@pytest.mark.parametrize(
    ("text", "valid"),
    [('{"a": 1}', True), ('```json\n{"a": 1}\n```', True), ("{'a': 1}", False), ("", False)],
)
def test_json_is_bare_or_in_one_fence(text: str, *, valid: bool) -> None:
    assert is_json(text) is valid


def test_answers_are_compared_without_case_space_and_end_marks() -> None:
    assert normalized("  The Answer:  4. ") == normalized("the answer: 4")


def test_what_has_to_be_contained_falls_back_to_the_answer() -> None:
    assert expected_parts({"contains": "a"}) == ["a"]
    assert expected_parts({"expected_facts": ["a", "b"]}) == ["a", "b"]
    assert expected_parts({"expected_response": "x"}) == ["x"]
    assert expected_parts({}) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("nocolon", "module:function"), ("gone_module:f", "gone_module"), ("json:gone", "gone")],
)
def test_a_scorer_that_is_not_there_is_named(name: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        user_scorers([name])


def test_a_plain_function_of_the_working_directory_is_a_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_scorers_of_test.py").write_text("def polite(outputs): return True\n")
    monkeypatch.chdir(tmp_path)
    (found,) = user_scorers(["my_scorers_of_test:polite"])
    assert found.name == "polite"
