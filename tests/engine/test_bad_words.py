"""The grammar that forbids words, in the real compiler, against a plain search for them."""

from __future__ import annotations

import pytest
from enginehouse.engine.bad_words import forbid
from hypothesis import given, settings
from hypothesis import strategies as st

from enginehouse.errors import InvalidRequestError
from tests.engine.json_schema.judge import Judge

_ALPHABET = "ab\U0001f600é]^"


@settings(deadline=None)
@given(
    st.lists(st.text(_ALPHABET, min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.text(_ALPHABET + "xñ", max_size=12), min_size=1, max_size=8),
)
def test_a_text_passes_exactly_if_no_word_is_in_it(words: list[str], texts: list[str]) -> None:
    judge = Judge(forbid(words).text)
    for text in texts:
        assert judge.admits(text) == (not any(word in text for word in words))


@pytest.mark.parametrize("words", [[""], ["a", "\ufffd"], ["x" * 2_001]])
def test_words_that_cannot_be_forbidden_are_refused(words: list[str]) -> None:
    with pytest.raises(InvalidRequestError, match="bad_words_list"):
        forbid(words)
