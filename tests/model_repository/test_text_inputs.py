"""Every text input of the contract refuses bytes that are not text, and is named."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from enginehouse.engine.codec import ModelLimits, Parameters, decode_request
from enginehouse.engine.embedding import EmbeddingEngine
from enginehouse.model_repository.text_to_ids import preprocess
from enginehouse.model_repository.texts_to_vectors import embed_requests

from enginehouse.contract import (
    EMBEDDING_INPUTS,
    ENGINE_INPUTS,
    ENSEMBLE_INPUT_ROUTES,
    PREPROCESSING_INPUTS,
    TensorSpec,
)
from enginehouse.errors import InvalidRequestError
from enginehouse.manifest import SpecialTokens
from tests.default_model import default_tokenizer

#: Invalid UTF-8: a continuation byte, a truncated character, a surrogate, an overlong character.
_NO_TEXT = [b"\xff", b"ab\xe2\x82", b"\xed\xa0\xbd", b"\xc0\xaf", b"\xf5\x80\x80\x80"]


def _array(spec: TensorSpec, value: bytes) -> Any:
    return np.full([1, *(2 if d == -1 else d for d in spec.dims)], value, dtype=object)


def _engine(spec: TensorSpec, value: bytes) -> None:
    arrays = {
        "input_ids": np.array([[1]], np.int32),
        "request_output_len": np.array([[1]], np.int32),
        "guided_decoding_guide_type": np.array([[b"regex"]], object),
        "guided_decoding_guide": np.array([[b"a"]], object),
        spec.name: _array(spec, value),
    }
    limits = ModelLimits(100, frozenset({2}), frozenset())
    decode_request(arrays, request_id="", parameters=Parameters(), limits=limits)


def _preprocessing(spec: TensorSpec, value: bytes) -> None:
    arrays = {
        "QUERY": np.array([[b"Hi"]], object),
        "REQUEST_OUTPUT_LEN": np.array([[1]], np.int32),
        spec.name: _array(spec, value),
    }
    tokens = SpecialTokens(bos_id=None, end_ids=(2,), pad_id=2, add_bos=False)
    preprocess(arrays, default_tokenizer(), tokens)


def _embedding(spec: TensorSpec, value: bytes) -> None:
    class Nothing:
        def embed_ids(self, _: object) -> Any:
            return np.zeros((0, 2), np.float32)

    arrays = {spec.name: _array(spec, value)}
    (result,) = embed_requests([arrays], cast("EmbeddingEngine", Nothing()))
    if isinstance(result, InvalidRequestError):
        raise result


_CASES = [
    (read, spec)
    for read, specs in (
        (_engine, ENGINE_INPUTS),
        (_preprocessing, PREPROCESSING_INPUTS),
        (_embedding, EMBEDDING_INPUTS),
    )
    for spec in specs
    if spec.dtype == "STRING"
]


@pytest.mark.parametrize("value", _NO_TEXT)
@pytest.mark.parametrize(("read", "spec"), _CASES, ids=[s.name for _, s in _CASES])
def test_bytes_that_are_no_text_name_their_input(read: Any, spec: TensorSpec, value: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(spec, value)
    assert caught.value.field == spec.name
    assert spec.name in str(caught.value)
    assert "/" not in str(caught.value)
    aliases = [name for name, (_, target) in ENSEMBLE_INPUT_ROUTES.items() if target == spec.name]
    if "UTF-8" in str(caught.value) and read is not _embedding:
        assert repr(aliases[0]) in str(caught.value) or aliases[0] == spec.name


def test_every_text_input_is_in_the_table() -> None:
    names = [spec.name for _, spec in _CASES]
    assert names == [
        "guided_decoding_guide_type",
        "guided_decoding_guide",
        "QUERY",
        "DECODER_QUERY",
        "IMAGE_URL",
        "IMAGES",
        "BAD_WORDS_DICT",
        "STOP_WORDS_DICT",
        "EMBEDDING_BIAS_WORDS",
        "text_input",
    ]


@pytest.mark.parametrize("name", ["REQUEST_OUTPUT_LEN", "END_ID", "PAD_ID"])
def test_two_values_where_one_is_wanted_name_their_input(name: str) -> None:
    arrays = {
        "QUERY": np.array([[b"Hi"]], object),
        "REQUEST_OUTPUT_LEN": np.array([[1]], np.int32),
        name: np.array([[1, 2]], np.int32),
    }
    tokens = SpecialTokens(bos_id=None, end_ids=(2,), pad_id=2, add_bos=False)
    with pytest.raises(InvalidRequestError) as caught:
        preprocess(arrays, default_tokenizer(), tokens)
    assert caught.value.field == name
