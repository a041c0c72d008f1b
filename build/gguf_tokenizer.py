"""Builds a `tokenizer.json` from the metadata of a GGUF file.

Only byte-level BPE is supported. ``tokenizer.ggml.pre`` names the way in which text is split before
the merges (ggml-org/llama.cpp, `src/llama-vocab.cpp`). An unknown value is refused, because a wrong
split gives other ids without an error.
"""

from __future__ import annotations

from typing import Any

from enginehouse.build.gguf_checkpoint import GgufCheckpoint
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence, Split

from enginehouse.errors import CheckpointError

_CONTROL = 3
_USER_DEFINED = 4

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _gpt2() -> PreTokenizer:
    return ByteLevel(add_prefix_space=False, use_regex=True)


def _smollm() -> PreTokenizer:
    return Sequence([Digits(individual_digits=True), _gpt2()])


def _regex(pattern: str) -> PreTokenizer:
    return Sequence(
        [
            Split(Regex(pattern), behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _pre_tokenizer(kind: str) -> pre_tokenizers.PreTokenizer | None:
    match kind:
        case "smollm":
            return _smollm()
        case "gpt-2" | "gpt2":
            return _gpt2()
        case "llama-bpe" | "llama3":
            return _regex(_LLAMA3)
        case "qwen2":
            return _regex(_QWEN2)
        case _:
            return None


def tokenizer_json(checkpoint: GgufCheckpoint) -> str:
    """The content of a `tokenizer.json` that gives the checkpoint's ids.

    Raises:
        CheckpointError: if the tokenizer cannot be rebuilt exactly.
    """
    model = str(checkpoint.require("tokenizer.ggml.model"))
    if model != "gpt2":
        raise CheckpointError(
            f"{checkpoint.path}: tokenizer model {model!r} cannot be rebuilt from GGUF (only "
            "byte-level BPE, 'gpt2', can); build from the Hugging Face directory instead"
        )
    kind = str(checkpoint.get("tokenizer.ggml.pre", "gpt-2"))
    pre_tokenizer = _pre_tokenizer(kind)
    if pre_tokenizer is None:
        raise CheckpointError(
            f"{checkpoint.path}: pre-tokenizer {kind!r} is not known; build from the Hugging "
            "Face directory instead"
        )
    tokens: list[str] = list(checkpoint.require("tokenizer.ggml.tokens"))
    merges = [tuple(m.split(" ", 1)) for m in checkpoint.require("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    types: list[int] = list(checkpoint.require("tokenizer.ggml.token_type"))
    _add_tokens(tokenizer, tokens, types)
    return str(tokenizer.to_str(pretty=False))


def _add_tokens(tokenizer: Any, tokens: list[str], types: list[int]) -> None:
    """Register control and user-defined tokens; they keep the ids that the vocabulary has."""
    for token, kind in zip(tokens, types, strict=True):
        if kind == _CONTROL:
            tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == _USER_DEFINED:
            tokenizer.add_tokens([AddedToken(token, special=False, normalized=False)])
