"""Encodes a request's chunks as the contract's output tensors; `codec` decodes the inputs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from enginehouse.engine.perf_outputs import perf_outputs
from numpy.typing import NDArray

from enginehouse.contract import ENGINE_OUTPUTS
from enginehouse.generation import Chunk, Drafts, GenerationRequest, Timings

_ORDER = tuple(spec.name for spec in ENGINE_OUTPUTS)


class ResponseEncoder:
    """Encodes the chunks of one request. Arrays have the contract's shapes, with a batch of 1."""

    def __init__(
        self, request: GenerationRequest, wanted: Collection[str], block_tokens: int = 0
    ) -> None:
        """Start encoding a request.

        Args:
            request: the request.
            wanted: names of the outputs that the caller asked for.
            block_tokens: see `Runtime.block_tokens`.
        """
        self._request = request
        self._block_tokens = block_tokens
        self._wanted = wanted
        self._report = request.report
        self._generated = 0
        self._cumulative = 0.0

    def encode(self, chunk: Chunk, timings: Timings, drafts: Drafts) -> dict[str, NDArray[Any]]:
        """Arrays of one response, in the order of the contract's outputs.

        A streaming response holds only the new tokens. A response that is not streamed begins with
        the prompt, unless `exclude_input_in_output` is set.
        """
        ids = list(chunk.token_ids)
        self._generated += len(ids)
        request = self._request
        if not request.streaming and not request.exclude_input_in_output:
            ids = [*request.input_ids, *ids]
        outputs: dict[str, NDArray[Any]] = {
            "output_ids": np.array(ids, dtype=np.int32).reshape(1, 1, -1)
        }
        if len(self._wanted) > 1:
            outputs["sequence_length"] = _int32(len(ids))
            self._add_details(outputs, chunk)
            if self._report.times:
                tokens = len(request.input_ids) + self._generated
                outputs |= perf_outputs(timings, drafts, tokens, self._block_tokens)
        return {name: outputs[name] for name in _ORDER if name in outputs and name in self._wanted}

    def _add_details(self, outputs: dict[str, NDArray[Any]], chunk: Chunk) -> None:
        """Add the optional outputs; log-probabilities are 0 unless `return_log_probs` is set."""
        log_probs = list(chunk.log_probs) if self._request.return_log_probs else []
        self._cumulative += sum(log_probs)
        outputs["cum_log_probs"] = np.array([[self._cumulative]], dtype=np.float32)
        scores = [*chunk.prompt_log_probs, *log_probs]
        outputs["output_log_probs"] = np.array(scores, dtype=np.float32).reshape(1, 1, -1)
        outputs["batch_index"] = _int32(0)
        outputs["sequence_index"] = _int32(self._request.sequence_index)
        if self._report.input_tokens:
            outputs["num_input_tokens"] = _int32(len(self._request.input_ids))
        if self._report.output_tokens:
            outputs["num_output_tokens"] = _int32(self._generated)


def _int32(value: int) -> NDArray[Any]:
    return np.array([[value]], dtype=np.int32)
