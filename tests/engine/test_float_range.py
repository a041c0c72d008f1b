"""Every float of a request means the same in float32, or is refused by its field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from enginehouse.api.schemas import CompletionRequest
from enginehouse.client import Target
from enginehouse.client.wire import MIN_P_PARAMETER, encode_request
from enginehouse.engine.codec import ModelLimits, Parameters, decode_request
from enginehouse.engine.openvino import generation_config
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from enginehouse.generation import GenerationRequest, Sampling
from enginehouse.manifest import GenerationDefaults

_DTYPES = {"INT32": "<i4", "FP32": "<f4", "BOOL": "?", "UINT64": "<u8"}
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
_EDGES = [
    0.0, 5e-324, 1e-320, 1e-50, 1e-46, 1e-45, 1e-40, _SMALLEST_NORMAL / 2, _SMALLEST_NORMAL,
    1e-30, 1e-7, 1e-5, 1e-3, math.nextafter(1e-3, 0), 0.999999, 1 - 2**-24, 1 - 2**-25,
    math.nextafter(1.0, 0), 1.0, math.nextafter(2.0, 0), 2.0, 1e-40 - 0.0, 1e38, 3.5e38, 1e300,
]  # fmt: skip
_FIELDS = [
    "temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
]  # fmt: skip


def _arrived(sampling: Sampling) -> GenerationRequest:
    """The request as the engine reads it from the wire."""
    message = encode_request(Target("m", 1), GenerationRequest([1], 4, sampling=sampling))
    arrays = {
        given.name: np.frombuffer(raw, _DTYPES[given.datatype]).reshape(list(given.shape))
        for given, raw in zip(message.inputs, message.raw_input_contents, strict=True)
    }
    parameters = Parameters(min_p=message.parameters[MIN_P_PARAMETER].double_param)
    limits = ModelLimits(2048, frozenset({2}), frozenset())
    found = decode_request(arrays, request_id="a", parameters=parameters, limits=limits)
    assert isinstance(found, GenerationRequest)
    return found


def _sampling(**fields: Any) -> Sampling | None:
    """What a request asks for; None if one of its fields is refused, by its name."""
    try:
        asked = CompletionRequest.model_validate({"model": "m", "prompt": "x", **fields})
    except ValidationError as error:
        named = {str(one["loc"][0]) for one in error.errors()}
    else:
        return asked.sampling(GenerationDefaults(temperature=0.7, top_p=0.9))
    assert named <= fields.keys()
    return None


@pytest.mark.parametrize("value", _EDGES)
@pytest.mark.parametrize("field", _FIELDS)
@pytest.mark.parametrize("more", [{}, {"top_k": 5}, {"temperature": 1.0, "top_p": 1.0}], ids=str)
def test_an_edge_is_run_or_refused_by_name(field: str, value: float, more: dict[str, Any]) -> None:
    for signed in (value, -value):
        sampling = _sampling(**{**more, field: signed})
        if sampling is not None:
            generation_config(_arrived(sampling)).validate()


@given(
    temperature=st.floats(0, 2), top_p=st.floats(0, 1), min_p=st.floats(0, 1),
    presence_penalty=st.floats(-2, 2), frequency_penalty=st.floats(-2, 2),
    repetition_penalty=st.floats(0, 100), top_k=st.sampled_from([None, 0, 1, 2, 50]),
)  # fmt: skip
def test_the_engine_draws_as_the_caller_asked(**fields: Any) -> None:
    sampling = _sampling(**fields)
    if sampling is None:
        return
    arrived = _arrived(sampling)
    assert arrived.sampling.greedy or not sampling.greedy
    config = generation_config(arrived)
    config.validate()
    assert config.do_sample != arrived.sampling.greedy
    if config.do_sample:
        # Engines divide by it and compare with it in float32.
        assert config.temperature >= _SMALLEST_NORMAL
        assert np.isfinite(np.float32(1000) / np.float32(config.temperature))
        assert 0 < config.top_p <= 1


@pytest.mark.parametrize(
    "asked", [{"temperature": 1e-40}, {"top_p": 1e-40}, {"top_p": 1e-50, "top_k": 40}, {"top_p": 0}]
)
def test_the_smallest_numbers_are_greedy(asked: dict[str, float]) -> None:
    sampling = _sampling(**asked)
    assert sampling is not None
    assert sampling.greedy
    assert CompletionRequest.model_validate({"model": "m", "prompt": "x", **asked}).deterministic


@pytest.mark.parametrize("value", [1e-40, 0.0009, 0.0, -1.0, 100.1, 1e39])
def test_a_repetition_penalty_that_the_engine_refuses_is_refused_at_the_door(value: float) -> None:
    with pytest.raises(ValidationError, match="repetition_penalty"):
        CompletionRequest.model_validate({"model": "m", "prompt": "x", "repetition_penalty": value})
