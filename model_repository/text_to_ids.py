"""The logic of `<model>.preprocessing`: encodes the prompt, the stop words and the bad words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enginehouse.errors import InvalidRequestError
from enginehouse.manifest import SpecialTokens
from enginehouse.text import Tokenizer
from enginehouse.text_inputs import named, text_of
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
    """Compute the outputs of one request, with a batch of 1, in the configuration's order.

    Outputs of multimodal requests are left out, as in NVIDIA's preprocessing for a text request.
    The client has already applied the chat template, so control tokens in the prompt are encoded as
    control tokens. In stop words they are encoded as text.

    Raises:
        InvalidRequestError: names the input that is wrong or not supported.
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
    pad_id = _one(arrays, "PAD_ID", tokens.pad_id)
    return {
        "INPUT_ID": np.array([ids], dtype=np.int32),
        "REQUEST_INPUT_LEN": np.array([[len(ids)]], dtype=np.int32),
        # As in NVIDIA's preprocessing: an empty decoder prompt is one padding token.
        "DECODER_INPUT_ID": pad_id,
        "REQUEST_DECODER_INPUT_LEN": np.ones((1, 1), dtype=np.int32),
        "BAD_WORDS_IDS": word_list(arrays, "BAD_WORDS_DICT", tokenizer),
        "STOP_WORDS_IDS": word_list(arrays, "STOP_WORDS_DICT", tokenizer),
        "EMBEDDING_BIAS": np.zeros((1, 0), dtype=np.float32),
        "REQUEST_OUTPUT_LEN": _one(arrays, "REQUEST_OUTPUT_LEN", None),
        "OUT_END_ID": _one(arrays, "END_ID", tokens.end_ids[0]),
        "OUT_PAD_ID": pad_id,
    }


def word_list(arrays: Arrays, name: str, tokenizer: Tokenizer) -> NDArray[Any]:
    """The words of an input as ids ``[1, 2, n]``, see `pack_words`.

    Raises:
        InvalidRequestError: names the input whose value is not valid text.
    """
    words = arrays.get(name)
    given: Iterable[Any] = () if words is None else words.reshape(-1)
    lists = [tokenizer.encode(text_of(word, name)) for word in given]
    return pack_words([ids for ids in lists if ids])[None]


def _query(arrays: Arrays) -> str:
    value = arrays["QUERY"]
    if value.size != 1:
        raise InvalidRequestError(
            f"QUERY has a batch of {value.size}: send one request at a time", field="QUERY"
        )
    return text_of(value.reshape(-1)[0], "QUERY")


def _one(arrays: Arrays, name: str, default: int | None) -> NDArray[Any]:
    """An integer input with a single value, ``[1, 1]``; required if `default` is None."""
    value = arrays.get(name)
    if value is None or not value.size:
        if default is None:
            raise InvalidRequestError(f"input {named(name)} is missing: give a number", field=name)
        return np.array([[default]], dtype=np.int32)
    if value.size != 1:
        raise InvalidRequestError(
            f"input {named(name)} has {value.size} values: send one request at a time", field=name
        )
    return value.astype(np.int32).reshape(1, 1)
