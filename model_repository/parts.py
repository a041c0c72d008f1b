"""One version's parts, as a Triton model that calls them sees them."""

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
    """A part answered with an error of Triton's, which goes to the client as it is."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.message())
        self.error = error


class Parts:
    """Calls of the parts through Triton; methods may be called from any thread."""

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
        """The engine's responses, each with the outputs that are wanted of it.

        Raises:
            PartFailedError: with what a part said.
        """
        made: Outputs = {}
        if asked.preprocessing is not None:
            (made,) = self._call(PREPROCESSING, asked.preprocessing)
        if entry.ending:
            return
        inputs = engine_inputs(asked, made)
        names = engine_outputs(asked, wanted)
        yield from self._call(TENSORRT_LLM, inputs, names, entry.engine_id, parameters)

    def text(self, piece: Arrays) -> NDArray[Any]:
        """Text of the ids of a response, ``[sequences]``.

        Raises:
            PartFailedError: with what postprocessing said.
        """
        ids = {"TOKENS_BATCH": piece["output_ids"], "SEQUENCE_LENGTH": piece["sequence_length"]}
        (made,) = self._call(POSTPROCESSING, ids)
        return made["OUTPUT"]

    def stop(self, request_id: str) -> None:
        """The engine ends what it knows by this id; the contract wants the other inputs too.

        Raises:
            PartFailedError: with what the engine said.
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
        """Responses of one part; without `outputs` with all that it has."""
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
