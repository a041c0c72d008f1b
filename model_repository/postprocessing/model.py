"""Triton model `<model>.postprocessing`: decodes token ids into text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from enginehouse.model_repository.failures import unforeseen
from enginehouse.model_repository.ids_to_text import postprocess
from enginehouse.model_repository.layout import bundle_dir

from enginehouse.bundle import Bundle
from enginehouse.errors import ServingError, to_wire
from enginehouse.text import Tokenizer


class TritonPythonModel:
    """Named by Triton's Python backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's tokenizer."""
        version_dir = Path(args["model_repository"]) / args["model_version"]
        bundle = Bundle.open(bundle_dir(version_dir))
        self._tokenizer = Tokenizer.from_file(bundle.tokenizer_path)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request separately, so that an invalid one fails alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            outputs = {"OUTPUT": postprocess(arrays, self._tokenizer)}
        except ServingError as error:
            return _refusal(error)
        except Exception as error:  # noqa: BLE001 - see `unforeseen`
            return _refusal(unforeseen(error))
        wanted = request.requested_output_names()
        tensors = [pb_utils.Tensor(k, v) for k, v in outputs.items() if k in wanted]
        return pb_utils.InferenceResponse(tensors)


def _refusal(error: ServingError) -> Any:
    return pb_utils.InferenceResponse(
        error=pb_utils.TritonError(to_wire(error), pb_utils.TritonError.INVALID_ARG)
    )
