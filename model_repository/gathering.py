"""The logic of `<model>.whole` and `tensorrt_llm_bls`: divides requests and merges responses.

Arrays have the shapes that clients send, with a batch dimension of 1. Only numpy and the contract
are imported, to save memory: each of these models runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enginehouse.contract import ENGINE_INPUTS, ENGINE_OUTPUTS, ENSEMBLE_PREPROCESSED
from enginehouse.contract_whole import REFUSED_INPUTS, TEXT_INPUT_ROUTES
from enginehouse.errors import InvalidRequestError

Arrays = Mapping[str, NDArray[Any]]

_ENGINE_INPUTS = frozenset(spec.name for spec in ENGINE_INPUTS)
_ENGINE_OUTPUTS = frozenset(spec.name for spec in ENGINE_OUTPUTS)
#: The engine's outputs that postprocessing needs.
_IDS = ("output_ids", "sequence_length")
#: Padding of the shorter of several sequences, as in NVIDIA's backend.
_PAD = -1


@dataclass(frozen=True, slots=True)
class DividedRequest:
    """A request, divided among the parts.

    Attributes:
        preprocessing: inputs of preprocessing; None if the request has token ids.
        engine: inputs of the engine, without those that preprocessing computes.
        stop: whether the request is the contract's `stop`, which ends requests with the same id.
    """

    preprocessing: dict[str, NDArray[Any]] | None
    engine: dict[str, NDArray[Any]]
    stop: bool = False


def divide(arrays: Arrays, name: str, *, streams: bool) -> DividedRequest:
    """Divide the inputs of one request among the parts.

    Args:
        arrays: inputs by name.
        name: Triton name of the called model, for error messages.
        streams: whether that model may send several responses.

    Raises:
        InvalidRequestError: names the input that is wrong or missing.
    """
    given = {key: value for key, value in arrays.items() if value.size}
    if _flag(given, "stop"):
        return DividedRequest(None, {"stop": given["stop"]}, stop=True)
    if not streams:
        _refuse_streaming(given, name)
    given = _without_second_model(given)
    if "text_input" in given:
        return _of_text(given)
    if "input_ids" in given:
        return _of_ids(given)
    raise InvalidRequestError(
        "there is no prompt: send 'text_input' with text or 'input_ids' with token ids",
        field="text_input",
    )


def _of_text(given: Arrays) -> DividedRequest:
    _refuse_others(given, TEXT_INPUT_ROUTES, "text_input")
    parts: dict[str, dict[str, NDArray[Any]]] = {"preprocessing": {}, "tensorrt_llm": {}}
    for name, value in given.items():
        part, target = TEXT_INPUT_ROUTES[name]
        parts[part][target] = value
    if "REQUEST_OUTPUT_LEN" not in parts["preprocessing"]:
        raise InvalidRequestError(
            "max_tokens is missing: say how many tokens to generate at most", field="max_tokens"
        )
    return DividedRequest(parts["preprocessing"], parts["tensorrt_llm"])


def _of_ids(given: Arrays) -> DividedRequest:
    _refuse_others(given, _ENGINE_INPUTS, "input_ids")
    for name in ("input_lengths", "request_output_len"):
        if name not in given:
            raise InvalidRequestError(f"{name} is missing: input_ids needs it", field=name)
    return DividedRequest(None, dict(given))


def _refuse_others(given: Arrays, known: Iterable[str], prompt: str) -> None:
    for name in given.keys() - set(known):
        raise InvalidRequestError(
            f"input {name!r} cannot be combined with {prompt!r}: leave it out", field=name
        )


def _refuse_streaming(given: Arrays, name: str) -> None:
    for field in ("stream", "streaming"):
        if _flag(given, field):
            raise InvalidRequestError(
                f"{field} is true, but {name!r} answers once: leave it out, or ask a decoupled "
                "model (the ensemble under the model's own name, or '.tensorrt_llm') over a "
                "gRPC stream or generate_stream",
                field=field,
            )


def _without_second_model(given: Arrays) -> dict[str, NDArray[Any]]:
    """The inputs without those of a draft model or a vision encoder, if they are 0 or false.

    Raises:
        InvalidRequestError: if one of them has another value.
    """
    for field in REFUSED_INPUTS:
        if field in given and given[field].any():
            raise InvalidRequestError(
                f"input {field!r} needs a second model, which no version has: leave it out",
                field=field,
            )
    return {name: value for name, value in given.items() if name not in REFUSED_INPUTS}


def _flag(given: Arrays, name: str) -> bool:
    return name in given and bool(given[name].reshape(-1)[0])


def engine_inputs(asked: DividedRequest, preprocessed: Arrays) -> dict[str, NDArray[Any]]:
    """The engine's inputs, completed with the outputs of preprocessing."""
    made = {
        target: preprocessed[output]
        for output, target in ENSEMBLE_PREPROCESSED.items()
        if output in preprocessed
    }
    return {**made, **asked.engine}


def engine_outputs(asked: DividedRequest, wanted: Iterable[str]) -> list[str]:
    """The outputs to request from the engine, if the client asks for `wanted`."""
    passed = [name for name in wanted if name in _ENGINE_OUTPUTS]
    needed = _IDS if asked.preprocessing is not None or not passed else ()
    return list(dict.fromkeys((*needed, *passed)))


def gather(responses: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    """Merge the responses to one request that is not streamed.

    The engine sends one response for each sequence. They are concatenated along the beam dimension
    of the contract, padded with -1 to the longest.
    """
    if not responses:
        return {}
    ordered = sorted(responses, key=_sequence_index)
    first = dict(ordered[0])
    if len(ordered) > 1:
        for name in ("sequence_length", "cum_log_probs"):
            if name in first:
                first[name] = np.concatenate([response[name] for response in ordered], axis=1)
        for name in ("output_ids", "output_log_probs"):
            if name in first:
                first[name] = _side_by_side([response[name] for response in ordered])
    return first


def _sequence_index(response: Arrays) -> int:
    index = response.get("sequence_index")
    return 0 if index is None else int(index.reshape(-1)[0])


def _side_by_side(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate arrays ``[1, 1, n]`` with different n to ``[1, arrays, longest n]``."""
    longest = max(array.shape[-1] for array in arrays)
    return np.concatenate(
        [
            np.pad(a, ((0, 0), (0, 0), (0, longest - a.shape[-1])), constant_values=_PAD)
            for a in arrays
        ],
        axis=1,
    )
