"""Encoding of the tensor contract: requests → `ModelInferRequest`, responses → chunks.

Messages are those of KServe v2 with Triton's extensions (triton-inference-server/common,
`protobuf/grpc_service.proto`). They are built directly instead of through `InferInput` objects, so
that a response costs one parse and two `frombuffer` calls.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb

from enginehouse.contract import (
    DESCRIBE_PARAMETER,
    MIN_P_PARAMETER,
    PRIORITY_PARAMETER,
    PROMPT_LOG_PROBS_PARAMETER,
    TRACEPARENT_PARAMETER,
)
from enginehouse.errors import (
    DeadlineError,
    EngineUnavailableError,
    ModelNotFoundError,
    QueueFullError,
    RequestCancelledError,
    ServingError,
    from_wire,
)
from enginehouse.generation import Chunk, FinishReason, GenerationRequest, Sampling
from enginehouse.names import TENSORRT_LLM, part
from enginehouse.word_lists import pack_words

_BYTES = 256


@dataclass(frozen=True, slots=True)
class Target:
    """Destination of a request: a model, and a version or Triton's default version.

    Attributes:
        adapter_id: the contract's `lora_task_id`: index of a LoRA adapter in the version's
            manifest, from 1; 0 means no adapter.
    """

    model: str
    version: int | None = None
    adapter_id: int = 0

    @property
    def version_text(self) -> str:
        """Triton's form of the version; empty means the default version."""
        return "" if self.version is None else str(self.version)


def encode_request(target: Target, request: GenerationRequest) -> Any:
    """Encode a request to `<model>.tensorrt_llm`."""
    message = _message(part(target.model, TENSORRT_LLM), target.version_text, request.request_id)
    ids = np.asarray(request.input_ids, dtype="<i4")
    _add(message, "input_ids", "INT32", [1, len(ids)], ids.tobytes())
    _add_int(message, "input_lengths", len(ids))
    _add_int(message, "request_output_len", request.max_tokens)
    _add_int(message, "end_id", min(request.end_ids) if request.end_ids else -1)
    _add_bool(message, "streaming", value=request.streaming)
    _add_bool(message, "exclude_input_in_output", value=True)
    _add_sampling(message, request.sampling, {"top_k": "runtime_top_k", "top_p": "runtime_top_p"})
    if target.adapter_id:
        _add(message, "lora_task_id", "UINT64", [1, 1], struct.pack("<Q", target.adapter_id))
    if request.embedding_bias:
        _add_bias(message, request.embedding_bias)
    if request.sequences > 1:
        _add_int(message, "num_return_sequences", request.sequences)
    if request.stop_sequences:
        _add_words(message, request.stop_sequences)
    if request.guide is not None:
        _add_text(message, "guided_decoding_guide_type", request.guide.kind.value)
        _add_text(message, "guided_decoding_guide", request.guide.text)
    # The shape of the ids gives their number, so `sequence_length` is not requested.
    outputs = ["output_ids"]
    if request.return_log_probs:
        _add_bool(message, "return_log_probs", value=True)
        outputs.append("output_log_probs")
    for name in outputs:
        message.outputs.add(name=name)
    _add_parameters(message, request)
    return message


def _add_parameters(message: Any, request: GenerationRequest) -> None:
    """Add as parameters the fields that have no input in the contract."""
    if request.priority:
        message.parameters[PRIORITY_PARAMETER].int64_param = request.priority
    if request.prompt_log_probs:
        message.parameters[PROMPT_LOG_PROBS_PARAMETER].bool_param = True
    if request.sampling.min_p:
        message.parameters[MIN_P_PARAMETER].double_param = request.sampling.min_p
    if request.traceparent is not None:
        message.parameters[TRACEPARENT_PARAMETER].string_param = request.traceparent


def encode_stop(target: Target, request_id: str) -> Any:
    """Encode the contract's request to end another one: `stop` with its id."""
    message = _message(part(target.model, TENSORRT_LLM), target.version_text, request_id)
    _add_int(message, "input_lengths", 1)
    _add_int(message, "request_output_len", 1)
    _add_bool(message, "stop", value=True)
    message.outputs.add(name="output_ids")
    return message


def encode_describe(target: Target) -> Any:
    """Encode a request for an engine's facts; see `DESCRIBE_PARAMETER`."""
    message = encode_stop(target, DESCRIBE_PARAMETER)
    message.parameters[DESCRIBE_PARAMETER].bool_param = True
    return message


def decode_described(response: Any) -> bytes:
    """The description in a response; empty if the engine does not support the request.

    Raises:
        ServingError: if the response is an error.
    """
    if response.error_message:
        raise error_from_text(response.error_message)
    ids, _ = _tensors(response.infer_response)
    return bytes(ids) if all(0 <= value < _BYTES for value in ids) else b""


def encode_text(
    model: str,
    text: str,
    max_tokens: int,
    sampling: Sampling,
    *,
    stream: bool,
    request_id: str,
    ignore_end: bool = False,
) -> Any:
    """Encode a request to the ensemble `<model>`."""
    message = _message(model, "", request_id)
    _add_text(message, "text_input", text)
    _add_int(message, "max_tokens", max_tokens)
    _add_bool(message, "stream", value=stream)
    _add_bool(message, "exclude_input_in_output", value=True)
    if ignore_end:
        _add_int(message, "end_id", -1)
    _add_sampling(message, sampling, {})
    message.outputs.add(name="text_output")
    return message


def _message(model: str, version: str, request_id: str) -> Any:
    message = pb.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    return message


def _add(message: Any, name: str, dtype: str, shape: Sequence[int], raw: bytes) -> None:
    message.inputs.add(name=name, datatype=dtype, shape=shape)
    message.raw_input_contents.append(raw)


def _add_int(message: Any, name: str, value: int) -> None:
    _add(message, name, "INT32", [1, 1], struct.pack("<i", value))


def _add_float(message: Any, name: str, value: float) -> None:
    _add(message, name, "FP32", [1, 1], struct.pack("<f", value))


def _add_bool(message: Any, name: str, *, value: bool) -> None:
    _add(message, name, "BOOL", [1, 1], b"\x01" if value else b"\x00")


def _add_text(message: Any, name: str, value: str) -> None:
    raw = value.encode()
    _add(message, name, "BYTES", [1, 1], struct.pack("<I", len(raw)) + raw)


def _add_words(message: Any, words: Sequence[Sequence[int]]) -> None:
    packed = pack_words(words)
    raw = packed.astype("<i4").tobytes()
    _add(message, "stop_words_list", "INT32", [1, *packed.shape], raw)


def _add_bias(message: Any, bias: Mapping[int, float]) -> None:
    """Add the contract's dense bias: a value for each id from 0 to the last biased one."""
    row = np.zeros(max(bias) + 1, dtype="<f4")
    for token_id, value in bias.items():
        row[token_id] = value
    _add(message, "embedding_bias", "FP32", [1, len(row)], row.tobytes())


def _add_sampling(message: Any, sampling: Sampling, names: dict[str, str]) -> None:
    """Add only the values that differ from the contract's defaults."""
    if sampling.greedy:
        _add_int(message, names.get("top_k", "top_k"), 1)
    else:
        _add_float(message, "temperature", sampling.temperature)
        if sampling.top_k:
            _add_int(message, names.get("top_k", "top_k"), sampling.top_k)
        _add_float(message, names.get("top_p", "top_p"), sampling.top_p or 1.0)
        if sampling.seed is not None:
            _add(message, "seed", "UINT64", [1, 1], struct.pack("<Q", sampling.seed))
    if sampling.repetition_penalty != 1.0:
        _add_float(message, "repetition_penalty", sampling.repetition_penalty)
    if sampling.presence_penalty:
        _add_float(message, "presence_penalty", sampling.presence_penalty)
    if sampling.frequency_penalty:
        _add_float(message, "frequency_penalty", sampling.frequency_penalty)
    if sampling.min_tokens:
        _add_int(message, "min_tokens", sampling.min_tokens)


class ChunkDecoder:
    """Decodes the responses of one request into chunks and derives the finish reason.

    The contract has no finish reason. An answer whose last token is an end id stopped; one with
    `max_tokens` tokens was cut at that length; any other end is due to a stop sequence.
    """

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._count = 0
        self._last: int | None = None

    def decode(self, response: Any) -> Chunk:
        """Decode one `ModelStreamInferResponse`.

        Raises:
            ServingError: if the response is an error.
        """
        if response.error_message:
            raise error_from_text(response.error_message)
        infer = response.infer_response
        ids, log_probs = _tensors(infer)
        self._count += len(ids)
        self._last = ids[-1] if ids else self._last
        finish = self._reason() if is_last(response) else None
        # An engine that ignores the parameter returns log-probabilities of the new tokens only.
        prompt = len(self._request.input_ids) if self._request.prompt_log_probs else 0
        if prompt and len(log_probs) == prompt + len(ids):
            return Chunk(ids, log_probs[prompt:], finish, prompt_log_probs=log_probs[:prompt])
        return Chunk(ids, log_probs, finish)

    def _reason(self) -> FinishReason:
        ended = self._request.ends_at(self._last)
        if self._count >= self._request.max_tokens and not ended:
            return FinishReason.LENGTH
        return FinishReason.STOP


def is_last(response: Any) -> bool:
    """Whether a `ModelStreamInferResponse` ends its request: the final response, or an error."""
    if response.error_message:
        return True
    return bool(response.infer_response.parameters["triton_final_response"].bool_param)


def _tensors(infer: Any) -> tuple[list[int], list[float]]:
    ids: list[int] = []
    log_probs: list[float] = []
    for output, raw in zip(infer.outputs, infer.raw_output_contents, strict=False):
        if output.name == "output_ids":
            ids = np.frombuffer(raw, dtype="<i4").tolist()
        elif output.name == "output_log_probs":
            log_probs = np.frombuffer(raw, dtype="<f4").tolist()
    return ids, log_probs


def decode_text(response: Any) -> tuple[str, bool]:
    """Decode one response of the ensemble: its text, and whether it is the last.

    Raises:
        ServingError: if the response is an error.
    """
    if response.error_message:
        raise error_from_text(response.error_message)
    infer = response.infer_response
    text = b"".join(raw[4:] for raw in infer.raw_output_contents)
    return text.decode(errors="replace"), is_last(response)


#: Triton's error messages → our errors; the first match wins (Triton 2.51).
_TRITON_TEXTS: tuple[tuple[str, type[ServingError]], ...] = (
    ("unknown model", ModelNotFoundError),
    ("is not found", ModelNotFoundError),
    ("not at ready state", EngineUnavailableError),
    ("is not ready", EngineUnavailableError),
    ("Exceeds maximum queue size", QueueFullError),
    ("stub process", EngineUnavailableError),
    ("Stub process", EngineUnavailableError),
)


_AWAY = "the engine does not answer right now: try again later"
_TOO_LATE = "the engine took too long"
_FAILED = "the engine failed on this request; Triton's log has the details"
_PUBLIC: dict[type[ServingError], str] = {
    EngineUnavailableError: _AWAY,
    ModelNotFoundError: "the model or this version of it is not loaded right now",
    QueueFullError: "the engine's queue is full: try again later",
}


def error_from_text(text: str) -> ServingError:
    """Convert Triton's error text to our exception."""
    ours = from_wire(text)
    if ours is not None:
        return ours
    for part_of, kind in _TRITON_TEXTS:
        if part_of in text:
            # The message may contain models and files of the host, or addresses: hide it.
            return kind(text).told(_PUBLIC.get(kind, _FAILED))
    return ServingError(text).told(_FAILED)


def stream_cut() -> EngineUnavailableError:
    """The error of a stream that ended without its last response."""
    return EngineUnavailableError("the stream ended without its last response")


def error_from_rpc(error: grpc.RpcError) -> ServingError:
    """Convert a failed call to our exception."""
    code = error.code()
    details = error.details() or str(code)
    ours = error_from_text(details)
    if type(ours) is not ServingError:
        return ours
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return EngineUnavailableError(f"Triton does not answer: {details}").told(_AWAY)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(f"Triton took too long: {details}").told(_TOO_LATE)
        case grpc.StatusCode.CANCELLED:
            return RequestCancelledError("the request was cancelled")
        case grpc.StatusCode.NOT_FOUND:
            return ModelNotFoundError(details).told(_PUBLIC[ModelNotFoundError])
        case _:
            return ours
