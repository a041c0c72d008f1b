from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from enginehouse.client.wire import ChunkDecoder, Target, encode_request
from enginehouse.engine.codec import (
    ModelLimits,
    Parameters,
    StopRequest,
    decode_request,
    read_parameters,
)
from enginehouse.engine.encoder import ResponseEncoder
from enginehouse.engine.openvino import OpenVinoRuntime
from tritonclient.grpc import service_pb2 as pb

from enginehouse.contract import ENGINE_OUTPUTS, PROMPT_LOG_PROBS_PARAMETER
from enginehouse.errors import ContextOverflowError, InvalidRequestError
from enginehouse.generation import Chunk, Drafts, GenerationRequest, GuideKind, Timings

_LIMITS = ModelLimits(100, frozenset({2}), OpenVinoRuntime.unsupported_inputs)


def _arrays(**extra: Any) -> dict[str, Any]:
    base = {
        "input_ids": np.array([[5, 6, 7]], np.int32),
        "input_lengths": np.array([[3]], np.int32),
        "request_output_len": np.array([[4]], np.int32),
    }
    return base | {name: np.asarray(value) for name, value in extra.items()}


def _decode(**extra: Any) -> GenerationRequest:
    decoded = decode_request(
        _arrays(**extra), request_id="r", parameters=Parameters(), limits=_LIMITS
    )
    assert isinstance(decoded, GenerationRequest)
    return decoded


def test_defaults_are_the_contracts() -> None:
    request = _decode()
    assert list(request.input_ids) == [5, 6, 7]
    assert request.sampling.greedy
    assert request.end_ids == {2}
    assert not request.streaming


@pytest.mark.parametrize(
    ("inputs", "greedy"),
    [
        ({"runtime_top_k": [[1]], "temperature": [[0.7]]}, True),
        ({"runtime_top_p": [[0.9]]}, False),
        ({"runtime_top_k": [[40]]}, False),
        ({"runtime_top_k": [[0]], "runtime_top_p": [[0.5]]}, False),
        ({"temperature": [[0.0]], "runtime_top_p": [[0.9]]}, True),
        ({"temperature": [[0.7]]}, True),
    ],
)
def test_when_sampling_is_greedy(inputs: dict[str, Any], *, greedy: bool) -> None:
    assert _decode(**inputs).sampling.greedy is greedy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_width", [[4]]),
        ("num_return_sequences", [[2]]),
        ("draft_input_ids", [[1, 2]]),
        ("embedding_bias", [[0.0, 1.5]]),
        ("return_context_logits", [[True]]),
        ("lora_task_id", [[3]]),
        ("temperature", [[float("nan")]]),
        ("temperature", [[-1.0]]),
        ("runtime_top_p", [[1.5]]),
        ("request_output_len", [[0]]),
        ("input_lengths", [[9]]),
        ("input_ids", [[1], [2]]),
        ("stop_words_list", [[[1, 2]]]),
        ("guided_decoding_guide_type", np.array([[b"yaml"]], object)),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        _decode(**{name: value})
    assert caught.value.field == name
    assert name in str(caught.value)


def test_a_refused_engine_input_also_has_its_ensemble_name() -> None:
    with pytest.raises(InvalidRequestError, match="'embedding_bias_words' of the ensemble"):
        _decode(embedding_bias=[[0.0, 1.5]])


def test_bad_words_are_read() -> None:
    assert _decode(bad_words_list=[[[7, 8], [2, -1]]]).bad_words == ((7, 8),)


def test_flags_that_are_off_and_empty_tensors_are_not_refused() -> None:
    request = _decode(
        return_context_logits=[[False]],
        bad_words_list=np.zeros((1, 2, 0), np.int32),
        beam_width=[[1]],
    )
    assert request.max_tokens == 4


def test_overflow_gives_both_numbers() -> None:
    with pytest.raises(ContextOverflowError, match=r"3 prompt tokens and 98 to generate.* of 100"):
        _decode(request_output_len=[[98]])


def test_word_lists_are_cut_at_their_offsets() -> None:
    request = _decode(stop_words_list=[[[7, 8, 9, 4], [1, 4, -1, -1]]])
    assert request.stop_sequences == ((7,), (8, 9, 4))


def test_end_id_minus_one_means_none() -> None:
    assert _decode(end_id=[[-1]]).end_ids == frozenset()
    assert _decode(end_id=[[9]]).end_ids == {9}


def test_a_guide_is_read_from_bytes() -> None:
    request = _decode(
        guided_decoding_guide_type=np.array([[b"regex"]], object),
        guided_decoding_guide=np.array([[b"[0-9]+"]], object),
    )
    assert request.guide is not None
    assert (request.guide.kind, request.guide.text) == (GuideKind.REGEX, "[0-9]+")


def test_a_priority_is_an_integer() -> None:
    assert read_parameters("") == Parameters()
    assert read_parameters('{"enginehouse_priority": 7}').priority == 7
    with pytest.raises(InvalidRequestError, match="'high'"):
        read_parameters('{"enginehouse_priority": "high"}')


def test_stop_needs_an_id() -> None:
    arrays = _arrays(stop=[[True]])
    stop = decode_request(arrays, request_id="r", parameters=Parameters(), limits=_LIMITS)
    assert stop == StopRequest("r")
    with pytest.raises(InvalidRequestError, match="stop needs the id"):
        decode_request(arrays, request_id="", parameters=Parameters(), limits=_LIMITS)


def test_whole_answers_hold_the_prompt_unless_excluded() -> None:
    wanted = {"output_ids", "sequence_length", "cum_log_probs", "num_output_tokens"}
    for excluded, expected in ((False, [5, 6, 7, 8, 9]), (True, [8, 9])):
        request = _decode(
            exclude_input_in_output=[[excluded]],
            return_log_probs=[[True]],
            return_num_output_tokens=[[True]],
        )
        outputs = ResponseEncoder(request, wanted).encode(
            Chunk([8, 9], [-0.5, -1.0]), Timings(), Drafts()
        )
        assert outputs["output_ids"].tolist() == [[expected]]
        assert outputs["sequence_length"].tolist() == [[len(expected)]]
        assert outputs["cum_log_probs"].tolist() == [[-1.5]]
        assert outputs["num_output_tokens"].tolist() == [[2]]


@pytest.mark.parametrize("knows", [True, False])
def test_log_probabilities_of_a_prompt_come_before_those_of_the_answer(*, knows: bool) -> None:
    request = GenerationRequest([5, 6, 7], 4, return_log_probs=True, prompt_log_probs=True)
    wanted = frozenset({"output_ids", "output_log_probs"})
    # An engine that does not know the parameter gives the answer's alone.
    of_prompt = [0.0, -2.0, -3.0] if knows else []
    said = Chunk([8, 9], [-0.5, -1.0], prompt_log_probs=of_prompt)
    outputs = ResponseEncoder(request, wanted).encode(said, Timings(), Drafts())
    infer = pb.ModelInferResponse()
    for name, value in outputs.items():
        infer.outputs.add(name=name, shape=value.shape)
        infer.raw_output_contents.append(value.tobytes())
    found = ChunkDecoder(request).decode(pb.ModelStreamInferResponse(infer_response=infer))
    assert list(found.token_ids) == [8, 9]
    assert list(found.log_probs) == [-0.5, -1.0]
    assert list(found.prompt_log_probs) == of_prompt
    assert encode_request(Target("m"), request).parameters[PROMPT_LOG_PROBS_PARAMETER].bool_param
    assert read_parameters('{"enginehouse_prompt_log_probs": true}').prompt_log_probs


def test_return_perf_metrics_gives_all_ten_outputs_of_the_vendor() -> None:
    request = _decode(return_perf_metrics=[[True]], streaming=[[True]])
    names = [spec.name for spec in ENGINE_OUTPUTS]
    outputs = ResponseEncoder(request, names, 4).encode(
        Chunk([8, 9]), Timings(1, 2, 3, 4), Drafts(drafted=8, accepted=2)
    )
    values = {name: array.item() for name, array in outputs.items() if array.size == 1}
    assert (
        values
        | {
            "kv_cache_alloc_new_blocks": 2,
            "kv_cache_reused_blocks": 0,
            "kv_cache_alloc_total_blocks": 2,
            "arrival_time_ns": 1,
            "first_scheduled_time_ns": 2,
            "first_token_time_ns": 3,
            "last_token_time_ns": 4,
            "acceptance_rate": 0.25,
            "total_accepted_draft_tokens": 2,
            "total_draft_tokens": 8,
        }
        == values
    )
    numpy = {"INT32": np.int32, "INT64": np.int64, "FP32": np.float32}
    for spec in ENGINE_OUTPUTS:
        if spec.name in outputs:
            assert outputs[spec.name].dtype == numpy[spec.dtype]
            assert outputs[spec.name].ndim == 1 + len(spec.dims)


def test_outputs_come_in_the_order_of_the_configuration() -> None:
    request = _decode(
        return_perf_metrics=[[True]],
        return_num_input_tokens=[[True]],
        return_num_output_tokens=[[True]],
    )
    order = [spec.name for spec in ENGINE_OUTPUTS]
    outputs = ResponseEncoder(request, frozenset(order)).encode(Chunk([8]), Timings(), Drafts())
    assert list(outputs) == [name for name in order if name in outputs]
    assert len(outputs) == len(order) - len(
        ("context_logits", "generation_logits", "context_phase_params")
    )


def test_the_decoder_token_of_the_vendors_preprocessing_asks_for_nothing() -> None:
    plain = _decode()
    assert _decode(decoder_input_ids=[[2]], decoder_input_lengths=[[1]]) == plain
    with pytest.raises(InvalidRequestError, match="decoder_input_ids"):
        _decode(decoder_input_ids=[[2, 3]])
