"""The logic of an embedding model: computes the vectors of several requests in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from enginehouse.engine.embedding import EmbeddingEngine
from numpy.typing import NDArray

from enginehouse.errors import InvalidRequestError
from enginehouse.text_inputs import text_of

Arrays = Mapping[str, NDArray[Any]]


def embed_requests(
    requests: Sequence[Arrays], engine: EmbeddingEngine
) -> list[dict[str, NDArray[Any]] | InvalidRequestError]:
    """Compute all requests of a dynamic batch together; an invalid request fails alone.

    Args:
        requests: each with ``text_input`` [n, 1] of UTF-8 bytes; n may differ.
        engine: the loaded model.

    Returns:
        For each request ``embedding`` float32 [n, dimensions] and ``num_input_tokens`` int32
        [n, 1], or its error.
    """
    read = [_read(arrays, engine) for arrays in requests]
    vectors = engine.embed_ids(
        [ids for one in read if not isinstance(one, InvalidRequestError) for ids in one]
    )
    results: list[dict[str, NDArray[Any]] | InvalidRequestError] = []
    at = 0
    for one in read:
        if isinstance(one, InvalidRequestError):
            results.append(one)
            continue
        counts = np.array([[len(ids)] for ids in one], np.int32).reshape(-1, 1)
        results.append({"embedding": vectors[at : at + len(one)], "num_input_tokens": counts})
        at += len(one)
    return results


def _read(arrays: Arrays, engine: EmbeddingEngine) -> list[list[int]] | InvalidRequestError:
    """The token ids of one request's texts, or the error of the first invalid one."""
    try:
        texts = [text_of(bytes(text), "text_input") for text in arrays["text_input"].reshape(-1)]
        return engine.tokenize(texts)
    except InvalidRequestError as error:
        return error
