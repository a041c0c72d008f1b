"""Triton model `<model>` of an embedding model, with Triton's dynamic batching."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from enginehouse.engine.embedding import EmbeddingEngine
from enginehouse.model_repository.failures import unforeseen
from enginehouse.model_repository.layout import bundle_dir, engine_settings
from enginehouse.model_repository.texts_to_vectors import embed_requests

from enginehouse.bundle import Bundle
from enginehouse.errors import ServingError, to_wire


class TritonPythonModel:
    """Named by Triton's Python backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's bundle and run one inference, since the first one is slow."""
        version_dir = Path(args["model_repository"]) / args["model_version"]
        bundle = Bundle.open(bundle_dir(version_dir))
        self._engine = EmbeddingEngine(bundle, threads=engine_settings(version_dir).threads)
        self._engine.embed(["warm up"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a dynamic batch in one computation; an invalid request fails alone."""
        arrays = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        results: list[Any]
        try:
            results = list(embed_requests(arrays, self._engine))
        except Exception as error:  # noqa: BLE001 - see `unforeseen`
            results = [unforeseen(error)] * len(requests)
        return [self._answer(*pair) for pair in zip(requests, results, strict=True)]

    def _answer(self, request: Any, result: Any) -> Any:
        if isinstance(result, ServingError):
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError(to_wire(result), pb_utils.TritonError.INVALID_ARG)
            )
        wanted = request.requested_output_names()
        tensors = [pb_utils.Tensor(k, v) for k, v in result.items() if k in wanted]
        return pb_utils.InferenceResponse(tensors)
