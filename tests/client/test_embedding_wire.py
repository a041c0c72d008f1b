"""Calls to embedding models on the wire."""

from __future__ import annotations

import numpy as np
import pytest
from enginehouse.client.embedding import Embeddings, encode_embed, join
from enginehouse.client.wire import Target

from enginehouse.errors import InvalidRequestError


def _answer(version: int, *counts: int) -> Embeddings:
    return Embeddings(np.full((len(counts), 2), version, np.float32), list(counts), version)


def test_texts_are_split_into_calls_of_a_batch_each() -> None:
    calls = encode_embed(Target("m", 3), ["é"] * 70, priority=1)
    assert [list(call.inputs[0].shape) for call in calls] == [[32, 1], [32, 1], [6, 1]]
    assert calls[2].raw_input_contents[0] == b"\x02\x00\x00\x00\xc3\xa9" * 6
    assert {(call.model_name, call.model_version) for call in calls} == {("m", "3")}
    assert {call.parameters["priority"].int64_param for call in calls} == {1}


def test_no_text_and_no_unicode_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="no text"):
        encode_embed(Target("m"), [])
    with pytest.raises(InvalidRequestError, match="not valid Unicode"):
        encode_embed(Target("m"), ["\ud800"])


def test_answers_are_joined_if_they_are_of_one_version() -> None:
    joined = join([_answer(1, 3, 4), _answer(1, 5)])
    assert joined is not None
    assert (joined.vectors.shape, joined.token_counts, joined.version) == ((3, 2), [3, 4, 5], 1)
    assert join([_answer(1, 3), _answer(2, 3)]) is None
