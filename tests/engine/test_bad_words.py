"""The grammar that forbids words, against a plain search for them."""

from __future__ import annotations

import re

from enginehouse.engine.bad_words import forbid
from hypothesis import given
from hypothesis import strategies as st

_ALPHABET = "ab\U0001f600]^"
_BRANCH = re.compile(r'(?:(?P<empty>"")|\[(?P<not>\^\\x00)?(?P<chars>[^\]]*)\] s(?P<to>\d+))')


def _accepts(grammar: str, text: str) -> bool:
    """Walk the right-recursive rules, which are deterministic."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())
    state = rules["root"].removeprefix("s")
    for character in text:
        following = None
        for branch in _BRANCH.finditer(rules[f"s{state}"]):
            if branch["to"] is None:
                continue
            members = {
                chr(int(f"0x{code[2:]}", 0))
                for code in re.findall(r"\\[uU][0-9a-f]+", branch["chars"])
            }
            if (character in members) != bool(branch["not"]):
                following = branch["to"]
        if following is None:
            return False
        state = following
    return True


@given(
    st.lists(st.text(_ALPHABET, min_size=1, max_size=4), min_size=1, max_size=4),
    st.text(_ALPHABET + "x", max_size=12),
)
def test_a_text_passes_exactly_if_no_word_is_in_it(words: list[str], text: str) -> None:
    assert _accepts(forbid(words).text, text) == (not any(word in text for word in words))
