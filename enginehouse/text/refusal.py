"""Detects refusals to answer by the beginning of the text."""

from __future__ import annotations

#: Beginnings of refusals, in lower case, with plain apostrophes.
_REFUSALS = (
    "i'm sorry, but",
    "i am sorry, but",
    "i'm sorry, i can",
    "i am sorry, i can",
    "sorry, but i",
    "sorry, i can't",
    "i apologize, but",
    "i cannot",
    "i can't",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i am not able to",
    "as an ai ",
    "as an ai,",
    "unfortunately, i cannot",
    "unfortunately, i can't",
)
#: Number of characters that `is_refusal` needs.
HEAD_CHARACTERS = 48


def is_refusal(head: str) -> bool:
    """Whether an answer with this beginning is a refusal; English only."""
    text = head.lstrip(" \t\r\n\"'*“").replace("\u2019", "'").lower()
    return text.startswith(_REFUSALS)
