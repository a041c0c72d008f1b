"""What `<model>.preprocessing` does: text → ids, words → id lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enginehouse.errors import InvalidRequestError
from enginehouse.manifest import SpecialTokens
from enginehouse.text import Tokenizer
from enginehouse.word_lists import pack_words

Arrays = Mapping[str, NDArray[Any]]
_UNSUPPORTED = (
    "DECODER_QUERY",
    "IMAGE_BYTES",
    "IMAGE_URL",
    "IMAGES",
    "VIDEO_BYTES",
    "EMBEDDING_BIAS_WORDS",
    "EMBEDDING_BIAS_WEIGHTS",
    "PROMPT_TABLE_EXTRA_ID",
)


def preprocess(
    arrays: Arrays, tokenizer: Tokenizer, tokens: SpecialTokens
) -> dict[str, NDArray[Any]]:
    """Inputs of one request → outputs, with a batch of one.

    The prompt is the client's own template, so control tokens in it are control tokens, as for
    every client of this contract; words to stop at are text.

    Raises:
        InvalidRequestError: naming the input.
    """
    for name in _UNSUPPORTED:
        if name in arrays and arrays[name].size:
            raise InvalidRequestError(
                f"input {name!r} is not supported by this model: leave it out", field=name
            )
    ids = tokenizer.encode(_query(arrays), control_tokens=True)
    if tokens.add_bos and tokens.bos_id is not None and ids[:1] != [tokens.bos_id]:
        ids = [tokens.bos_id, *ids]
    if not ids:
        raise InvalidRequestError("QUERY is empty: give some text", field="QUERY")
    return {
        "INPUT_ID": np.array([ids], dtype=np.int32),
        "REQUEST_INPUT_LEN": np.array([[len(ids)]], dtype=np.int32),
        "REQUEST_OUTPUT_LEN": arrays["REQUEST_OUTPUT_LEN"].astype(np.int32).reshape(1, 1),
        "STOP_WORDS_IDS": word_list(arrays.get("STOP_WORDS_DICT"), tokenizer),
        "BAD_WORDS_IDS": word_list(arrays.get("BAD_WORDS_DICT"), tokenizer),
        "OUT_END_ID": _id(arrays.get("END_ID"), tokens.end_ids[0]),
        "OUT_PAD_ID": _id(arrays.get("PAD_ID"), tokens.pad_id),
    }


def word_list(words: NDArray[Any] | None, tokenizer: Tokenizer) -> NDArray[Any]:
    """Words → ``[1, 2, n]``, see `pack_words`."""
    lists = [tokenizer.encode(_text(word)) for word in ([] if words is None else words.reshape(-1))]
    return pack_words([ids for ids in lists if ids])[None]


def _query(arrays: Arrays) -> str:
    value = arrays["QUERY"]
    if value.size != 1:
        raise InvalidRequestError(
            f"QUERY has a batch of {value.size}: send one request at a time", field="QUERY"
        )
    try:
        return _text(value.reshape(-1)[0])
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"QUERY is not UTF-8: {error}", field="QUERY") from error


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _id(value: NDArray[Any] | None, default: int) -> NDArray[Any]:
    chosen = default if value is None or not value.size else int(value.reshape(-1)[0])
    return np.array([[chosen]], dtype=np.int32)
