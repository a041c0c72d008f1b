"""Token healing, for a prompt that ends in the middle of a word's usual token.

The last token is removed, and the answer is constrained to begin with its text. The model may then
choose a longer token with that beginning ("htt" + "p://" becomes "http" + "://").
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from enginehouse.generation import Guide, GuideKind
from enginehouse.text.tokenizer import Tokenizer


def heal(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[list[int], str, Guide | None]:
    """Return the ids without the last token, its text, and the guide that restores the text.

    A prompt of one token, or one that ends in a control token or inside a character, is returned
    unchanged.
    """
    last = tokenizer.decode(ids[-1:])
    if len(ids) == 1 or ids[-1] in tokenizer.special_ids or not last or "\ufffd" in last:
        return list(ids), "", None
    grammar = f"root ::= {json.dumps(last)} [^\\x00]*"
    return list(ids[:-1]), last, Guide(GuideKind.EBNF_GRAMMAR, grammar)
