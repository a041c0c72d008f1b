"""Checks that the bundle's tokenizer gives the same ids as the engine's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files

from enginehouse.errors import BuildError
from enginehouse.text import Tokenizer


def corpus() -> list[str]:
    """Texts in many scripts and forms, some with control tokens of common chat templates."""
    content = files("enginehouse.build").joinpath("tokenizer_corpus.json").read_text("utf-8")
    return list(json.loads(content))


def check_tokenizer(
    tokenizer: Tokenizer, engine_encode: Callable[[str], list[int]], texts: list[str]
) -> dict[str, int]:
    """Compare ids on every text, and check that control tokens in user text are encoded as text.

    Returns:
        The number of texts that agreed, and of those that contain control tokens.

    Raises:
        BuildError: names the first text that differs and both lists of ids.
    """
    guarded = 0
    for text in texts:
        ours = tokenizer.encode(text, control_tokens=True)
        theirs = engine_encode(text)
        if ours != theirs:
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
            raise BuildError(
                f"the tokenizer does not match the engine on {text[:40]!r}: "
                f"{ours[at : at + 5]} against {theirs[at : at + 5]} from token {at}; "
                "the bundle was not written"
            )
        plain = tokenizer.encode(text)
        if tokenizer.special_ids.intersection(plain):
            raise BuildError(
                f"control tokens in user text would reach the engine: {text[:40]!r}; "
                "the bundle was not written"
            )
        guarded += plain != ours
    return {"texts": len(texts), "with_control_tokens": guarded}
