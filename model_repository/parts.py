"""Calls of one version's parts from another Triton model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from enginehouse.model_repository.gathering import (
    Arrays,
    DividedRequest,
    engine_inputs,
    engine_outputs,
)
from enginehouse.model_repository.under_way import ActiveRequest
from numpy.typing import NDArray

from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, part

Outputs = dict[str, NDArray[Any]]


class PartFailedError(Exception):
    """A part failed; its Triton error is sent to the client unchanged."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.message())
        self.error = error


class Parts:
    """Calls the parts of one version through Triton. Thread-safe."""

    def __init__(self, pb_utils: Any, model: str, version: int) -> None:
        self._pb_utils = pb_utils
        self._model = model
        self._version = version

    def generate(
        self,
        asked: DividedRequest,
        wanted: Collection[str],
        parameters: Mapping[str, Any],
        entry: ActiveRequest,
    ) -> Iterator[Outputs]:
        """Run preprocessing if needed, then yield the engine's responses.

        Args:
            asked: the divided request.
            wanted: outputs that the client asked for.
            parameters: request parameters for the engine.
            entry: the request's entry in `UnderWay`.

        Raises:
            PartFailedError: with the Triton error of a part.
        """
        made: Outputs = {}
        if asked.preprocessing is not None:
            (made,) = self._call(PREPROCESSING, asked.preprocessing)
        if entry.ending:
            return
        inputs = engine_inputs(asked, made)
        names = engine_outputs(asked, wanted)
        yield from self._call(TENSORRT_LLM, inputs, names, entry.engine_id, parameters)

    def text(self, chunk: Arrays) -> NDArray[Any]:
        """The decoded text of a response, ``[sequences]``.

        Raises:
            PartFailedError: with the Triton error of postprocessing.
        """
        ids = {"TOKENS_BATCH": chunk["output_ids"], "SEQUENCE_LENGTH": chunk["sequence_length"]}
        (made,) = self._call(POSTPROCESSING, ids)
        return made["OUTPUT"]

    def stop(self, request_id: str) -> None:
        """End the engine's requests with this id. The contract requires the other inputs as well.

        Raises:
            PartFailedError: with the Triton error of the engine.
        """
        one = np.ones((1, 1), np.int32)
        inputs: Outputs = {
            "input_lengths": one,
            "request_output_len": one,
            "stop": np.ones((1, 1), bool),
        }
        for _ in self._call(TENSORRT_LLM, inputs, ["output_ids"], request_id):
            pass

    def _call(
        self,
        suffix: str,
        inputs: Arrays,
        outputs: Sequence[str] = (),
        request_id: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> Iterator[Outputs]:
        """The responses of one part with the given outputs, or with all of its outputs."""
        utils = self._pb_utils
        request = utils.InferenceRequest(
            model_name=part(self._model, suffix),
            model_version=self._version,
            request_id=request_id,
            inputs=[utils.Tensor(name, value) for name, value in inputs.items()],
            requested_output_names=list(outputs),
            parameters=dict(parameters or {}),
        )
        decoupled = suffix == TENSORRT_LLM
        answered = request.exec(decoupled=decoupled)
        for response in answered if decoupled else [answered]:
            if response.has_error():
                raise PartFailedError(response.error())
            tensors = response.output_tensors()
            if tensors:
                yield {tensor.name(): np.array(tensor.as_numpy()) for tensor in tensors}
