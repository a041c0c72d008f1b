from __future__ import annotations

from pathlib import Path

import pytest

from enginehouse.traffic.comparison import (
    Comparison,
    ShadowPair,
    compare_answers,
    pairs_path,
    read_pairs,
    summary,
)


def compare(champion: str, shadow: str, ends: tuple[str, str] = ("stop", "stop")) -> Comparison:
    return compare_answers(champion, shadow, champion_finish=ends[0], shadow_finish=ends[1])


def test_equal_answers_are_alike_in_everything() -> None:
    found = compare("The answer is 4.", "The answer is 4. ")
    assert found.exact
    assert (found.similarity, found.length_ratio) == (1.0, 1.0)
    assert found.same_finish
    assert found.same_json


@pytest.mark.parametrize(
    ("champion", "shadow", "similarity", "ratio"),
    [
        ("a b c d", "a b c x", 0.75, 1.0),
        ("a b", "a b c d", 2 * 2 / 6, 2.0),
        ("a b", "x y", 0.0, 1.0),
        ("", "", 1.0, 1.0),
        ("", "a b", 0.0, 2.0),
        ("a b", "", 0.0, 0.0),
    ],
)
def test_similarity_counts_words_in_order(
    champion: str, shadow: str, similarity: float, ratio: float
) -> None:
    found = compare(champion, shadow)
    assert found.similarity == pytest.approx(similarity)
    assert found.length_ratio == pytest.approx(ratio)
    assert found.exact is (champion == shadow)


def test_an_answer_that_was_cut_ends_otherwise() -> None:
    assert not compare("a", "a", ("stop", "length")).same_finish


def test_json_on_one_side_only_is_a_difference() -> None:
    assert not compare('{"a": 1}', "{'a': 1}").same_json
    assert compare('{"a": 1}', "[1]").same_json
    # A number is JSON by the letter, and prose to whoever reads it.
    assert compare("4", "four").same_json


def pair(number: int, **changes: object) -> ShadowPair:
    values = {
        "at": 1.0,
        "request_id": f"r{number}",
        "model": "m",
        "champion": 1,
        "shadow": 2,
        "comparison": compare("a b", "a b" if number % 2 else "a c"),
    }
    return ShadowPair.model_validate({**values, **changes})


def test_pairs_come_back_without_the_line_that_a_crash_cut_off(tmp_path: Path) -> None:
    lines = [pair(i).model_dump_json() for i in range(3)]
    pairs_path(tmp_path, "m").write_text("\n".join([*lines, lines[0][:40]]))

    assert [p.request_id for p in read_pairs(tmp_path, "m")] == ["r0", "r1", "r2"]
    assert read_pairs(tmp_path, "other") == []


def test_summary_is_by_versions_with_the_newest_shadow_first() -> None:
    found = summary([pair(0), pair(1), pair(3), pair(5, shadow=3)])

    assert [(row.shadow, row.pairs) for row in found] == [(3, 1), (2, 3)]
    assert found[1].exact == pytest.approx(2 / 3)
    assert found[1].similarity == pytest.approx((0.5 + 1 + 1) / 3)
