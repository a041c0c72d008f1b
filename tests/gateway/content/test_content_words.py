from __future__ import annotations

import re

from enginehouse.gateway.content.words import words_pattern
from hypothesis import given
from hypothesis import strategies as st

WORDS = st.lists(st.text(alphabet="abAB-^]+ ", min_size=1, max_size=5), min_size=1, max_size=6)


@given(words=WORDS, text=st.text(alphabet="abAB-^]+ .", max_size=40), ignore_case=st.booleans())
def test_one_pattern_finds_what_the_words_one_by_one_do(
    words: list[str], text: str, *, ignore_case: bool
) -> None:
    longest_first = sorted(words, key=len, reverse=True)
    plain = "|".join(re.escape(word) for word in longest_first)
    flags = re.IGNORECASE if ignore_case else re.NOFLAG
    expected = re.compile(rf"(?<!\w)(?:{plain})(?!\w)", flags)
    found = words_pattern(words, ignore_case=ignore_case)
    assert [m.span() for m in found.finditer(text)] == [m.span() for m in expected.finditer(text)]
