"""Decodes the contract's tensors into a `GenerationRequest`; `encoder` does the reverse.

Every input is either read or refused by name; none is ignored. Arrays have the batch dimension that
Triton adds. It is always 1, because batching happens in the engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enginehouse.contract import (
    DESCRIBE_PARAMETER,
    MIN_P_PARAMETER,
    PRIORITY_PARAMETER,
    PROMPT_LOG_PROBS_PARAMETER,
    TRACEPARENT_PARAMETER,
    ensemble_input_for,
)
from enginehouse.errors import ContextOverflowError, InvalidRequestError
from enginehouse.generation import (
    LARGEST_REPETITION_PENALTY,
    LARGEST_SHARE,
    SMALLEST_REPETITION_PENALTY,
    GenerationRequest,
    Guide,
    GuideKind,
    Report,
    Sampling,
)
from enginehouse.telemetry import TraceParent
from enginehouse.text_inputs import text_of
from enginehouse.word_lists import unpack_words

Arrays = Mapping[str, NDArray[Any]]
_INT32_MAX = 2**31 - 1
#: NVIDIA's preprocessing sends one token in these for every request, which only an encoder-decoder
#: model reads. More than one token is a decoder prompt of the caller, and is refused.
_DECODER_INPUTS = frozenset({"decoder_input_ids", "decoder_input_lengths"})
#: Inputs that affect beam search only. Several beams are refused; with one, these have no effect.
_BEAM_ONLY = frozenset({"len_penalty", "early_stopping", "beam_search_diversity_rate"})
#: Characters of a caller's text that an error message quotes.
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class StopRequest:
    """The contract's `stop` input: end the requests with this id."""

    request_id: str


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a request is checked against.

    Attributes:
        context_length: most tokens of prompt and answer together.
        end_ids: end-of-sequence ids that apply when the request gives none.
        unsupported_inputs: inputs that the runtime refuses.
        max_sequences: most answers to one request.
        adapters: names of the LoRA adapters; `lora_task_id` is the position, counted from 1.
    """

    context_length: int
    end_ids: frozenset[int]
    unsupported_inputs: frozenset[str]
    max_sequences: int = 1
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameters:
    """Fields for which the contract has no tensor; they are sent as Triton request parameters."""

    priority: int = 0
    min_p: float = 0.0
    traceparent: str | None = None
    describe: bool = False
    prompt_log_probs: bool = False


def read_parameters(parameters: str) -> Parameters:
    """Parse a request's parameters, which Triton passes as JSON; unknown ones are ignored.

    Raises:
        InvalidRequestError: if a value is wrong; names the parameter.
    """
    given = json.loads(parameters or "{}")
    priority = given.get(PRIORITY_PARAMETER, 0)
    if type(priority) is not int or not -_INT32_MAX <= priority <= _INT32_MAX:
        raise InvalidRequestError(
            f"{PRIORITY_PARAMETER} is {priority!r}: give an integer of 32 bits",
            field=PRIORITY_PARAMETER,
        )
    min_p = given.get(MIN_P_PARAMETER, 0.0)
    if not isinstance(min_p, int | float) or not 0.0 <= min_p <= LARGEST_SHARE:
        raise InvalidRequestError(
            f"{MIN_P_PARAMETER} is {min_p!r}: give a number from 0 to below 1",
            field=MIN_P_PARAMETER,
        )
    describe = given.get(DESCRIBE_PARAMETER) is True
    prompt = given.get(PROMPT_LOG_PROBS_PARAMETER) is True
    return Parameters(priority, float(min_p), _traceparent(given), describe, prompt)


def _traceparent(given: Mapping[str, Any]) -> str | None:
    value = given.get(TRACEPARENT_PARAMETER)
    if value is None or (isinstance(value, str) and TraceParent.parse(value) is not None):
        return value
    raise InvalidRequestError(
        f"{TRACEPARENT_PARAMETER} is {value!r}: give a traceparent of W3C's trace context, "
        "00-<32 digits>-<16 digits>-<2 digits>, or leave it out",
        field=TRACEPARENT_PARAMETER,
    )


class _Reader:
    """Reads the inputs of one request; an invalid one raises an error that names it."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays

    def array(self, name: str) -> NDArray[Any] | None:
        """The input without its batch dimension; None if it is absent or empty."""
        value = self._arrays.get(name)
        if value is None or value.size == 0:
            return None
        return value

    def scalar(self, name: str) -> Any:
        value = self.array(name)
        if value is None:
            return None
        if value.size != 1:
            raise InvalidRequestError(
                f"{name} has shape {list(value.shape)}: one request at a time, so one value",
                field=name,
            )
        return value.reshape(-1)[0].item() if value.dtype != object else value.reshape(-1)[0]

    def flag(self, name: str) -> bool:
        return bool(self.scalar(name))

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self.scalar(name)
        if value is None:
            return default
        if not low <= value <= high:  # NaN fails as well
            raise InvalidRequestError(
                f"{name} is {value:g}: it must be from {low:g} to {high:g}", field=name
            )
        return float(value)

    def count(self, name: str, low: int, high: int = _INT32_MAX) -> int | None:
        value = self.scalar(name)
        if value is not None and not low <= value <= high:
            raise InvalidRequestError(
                f"{name} is {value}: it must be from {low} to {high}", field=name
            )
        return None if value is None else int(value)


def description(text: bytes) -> NDArray[np.int32]:
    """The answer to `Parameters.describe` as `output_ids`: int32 [1, 1, n], one byte an id."""
    return np.frombuffer(text, np.uint8).astype(np.int32).reshape(1, 1, -1)


def decode_request(
    arrays: Arrays, *, request_id: str, parameters: Parameters, limits: ModelLimits
) -> GenerationRequest | StopRequest:
    """Decode the tensors of `<model>.tensorrt_llm`.

    Raises:
        InvalidRequestError: names the input, its value, and what is allowed.
        ContextOverflowError: names the tokens asked for and the context length.
    """
    read = _Reader(arrays)
    if read.flag("stop"):
        if not request_id:
            raise InvalidRequestError("stop needs the id of the request to end", field="stop")
        return StopRequest(request_id)
    _refuse_unsupported(read, arrays, limits.unsupported_inputs)
    input_ids = _input_ids(read)
    max_tokens = read.count("request_output_len", 1)
    if max_tokens is None:
        raise InvalidRequestError("request_output_len is missing", field="request_output_len")
    if len(input_ids) + max_tokens > limits.context_length:
        raise ContextOverflowError(
            f"{len(input_ids)} prompt tokens and {max_tokens} to generate exceed the context of "
            f"{limits.context_length} tokens",
            field="request_output_len",
        )
    return GenerationRequest(
        input_ids=input_ids,
        max_tokens=max_tokens,
        request_id=request_id,
        sampling=_sampling(read, parameters.min_p),
        end_ids=_end_ids(read, limits.end_ids),
        stop_sequences=_word_list(read, "stop_words_list"),
        bad_words=_word_list(read, "bad_words_list"),
        guide=_guide(read),
        return_log_probs=read.flag("return_log_probs"),
        prompt_log_probs=parameters.prompt_log_probs and read.flag("return_log_probs"),
        report=Report(
            times=read.flag("return_perf_metrics"),
            input_tokens=read.flag("return_num_input_tokens"),
            output_tokens=read.flag("return_num_output_tokens"),
        ),
        streaming=read.flag("streaming"),
        exclude_input_in_output=read.flag("exclude_input_in_output"),
        priority=parameters.priority,
        adapter=_adapter(read, limits.adapters),
        sequences=_sequences(read, limits.max_sequences),
        embedding_bias=_embedding_bias(read),
        traceparent=parameters.traceparent,
    )


def _refuse_unsupported(read: _Reader, arrays: Arrays, unsupported: frozenset[str]) -> None:
    for name in arrays:
        value = read.array(name)
        if name not in unsupported or value is None:
            continue
        if name.startswith("return_") and not value.any():
            continue
        if name in _BEAM_ONLY or (name in _DECODER_INPUTS and value.size == 1):
            continue
        alias = ensemble_input_for(name)
        also = f" ({alias!r} of the ensemble)" if alias and alias != name else ""
        raise InvalidRequestError(
            f"input {name!r}{also} is not supported by this runtime: leave it out", field=name
        )
    if (read.count("beam_width", 1) or 1) > 1:
        raise InvalidRequestError(
            f"beam_width is {read.scalar('beam_width')}: there is no beam search; send 1, or ask "
            "for several answers with num_return_sequences",
            field="beam_width",
        )


def _sequences(read: _Reader, most: int) -> int:
    return read.count("num_return_sequences", 1, most) or 1


def _adapter(read: _Reader, adapters: tuple[str, ...]) -> str | None:
    task = read.scalar("lora_task_id")
    if task is None:
        return None
    if not 1 <= task <= len(adapters):
        known = ", ".join(f"{i} ({name})" for i, name in enumerate(adapters, start=1))
        raise InvalidRequestError(
            f"lora_task_id is {task}: this version has {known or 'no adapters'}",
            field="lora_task_id",
        )
    return adapters[int(task) - 1]


def _embedding_bias(read: _Reader) -> dict[int, float] | None:
    value = read.array("embedding_bias")
    if value is None:
        return None
    row = value.reshape(-1)
    return {int(index): float(row[index]) for index in np.flatnonzero(row)}


def _input_ids(read: _Reader) -> list[int]:
    value = read.array("input_ids")
    if value is None:
        raise InvalidRequestError("input_ids is empty: give at least one id", field="input_ids")
    if value.ndim > 1 and value.shape[0] != 1:
        raise InvalidRequestError(
            f"input_ids has a batch of {value.shape[0]}: send one request at a time",
            field="input_ids",
        )
    ids: list[int] = value.reshape(-1).tolist()
    length = read.count("input_lengths", 1)
    if length is not None and length > len(ids):
        raise InvalidRequestError(
            f"input_lengths is {length}, but input_ids holds {len(ids)}", field="input_lengths"
        )
    return ids if length is None else ids[:length]


def _end_ids(read: _Reader, default: frozenset[int]) -> frozenset[int]:
    """The end ids: the model's own if `end_id` is absent, none if it is -1 (as in TensorRT-LLM)."""
    end_id = read.count("end_id", -1)
    if end_id is None:
        return default
    if end_id == -1:
        return frozenset()
    return default if end_id in default else frozenset({end_id})


def _sampling(read: _Reader, min_p: float) -> Sampling:
    top_p = read.scalar("runtime_top_p")
    return Sampling(
        temperature=read.number("temperature", 1.0, 0.0, 100.0),
        top_k=read.count("runtime_top_k", 0),
        top_p=None if top_p is None else read.number("runtime_top_p", 1.0, 0.0, 1.0),
        seed=read.scalar("seed"),
        repetition_penalty=read.number(
            "repetition_penalty", 1.0, SMALLEST_REPETITION_PENALTY, LARGEST_REPETITION_PENALTY
        ),
        presence_penalty=read.number("presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=read.number("frequency_penalty", 0.0, -2.0, 2.0),
        min_tokens=read.count("min_tokens", 0) or 0,
        min_p=min_p,
    )


def _word_list(read: _Reader, name: str) -> tuple[tuple[int, ...], ...]:
    value = read.array(name)
    if value is None:
        return ()
    if value.shape[-2:-1] != (2,) or value.size != 2 * value.shape[-1]:
        raise InvalidRequestError(
            f"{name} has shape {list(value.shape)}: it must be [2, n], ids and end offsets",
            field=name,
        )
    ids, offsets = value.reshape(2, -1)
    if ids.min() < 0 or offsets.max() > len(ids):
        raise InvalidRequestError(
            f"{name} holds an id below 0, or an end offset above {len(ids)}, which is the number "
            "of its ids",
            field=name,
        )
    return unpack_words(value)


def _guide(read: _Reader) -> Guide | None:
    kind, text = (
        read.scalar("guided_decoding_guide_type"),
        read.scalar("guided_decoding_guide"),
    )
    if kind is None and text is None:
        return None
    if kind is None:
        raise InvalidRequestError(
            "guided_decoding_guide needs guided_decoding_guide_type",
            field="guided_decoding_guide_type",
        )
    name = text_of(kind, "guided_decoding_guide_type")
    if name not in list(GuideKind):
        raise InvalidRequestError(
            f"guided_decoding_guide_type is {name[:_SHOWN]!r}: use one of {', '.join(GuideKind)}",
            field="guided_decoding_guide_type",
        )
    if text is None and name != GuideKind.JSON:
        raise InvalidRequestError(
            f"guided_decoding_guide is missing for type {name!r}", field="guided_decoding_guide"
        )
    return Guide(GuideKind(name), "" if text is None else text_of(text, "guided_decoding_guide"))
