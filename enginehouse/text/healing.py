"""Token healing: a prompt that ends inside a token is continued as if it did not.

The last token is taken back, and the answer is made to begin with its text; the model may then
choose a longer token that begins so ("htt" + "p://" becomes "http" + "://").
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from enginehouse.generation import Guide, GuideKind
from enginehouse.text.tokenizer import Tokenizer


def heal(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[list[int], str, Guide | None]:
    """Ids without the last token, its text, and the guide that brings the text back.

    A prompt of one token, or one that ends in a control token or inside a character, stays as
    it is: there is nothing to take back.
    """
    last = tokenizer.decode(ids[-1:])
    if len(ids) == 1 or ids[-1] in tokenizer.special_ids or not last or "\ufffd" in last:
        return list(ids), "", None
    grammar = f"root ::= {json.dumps(last)} [^\\x00]*"
    return list(ids[:-1]), last, Guide(GuideKind.EBNF_GRAMMAR, grammar)
