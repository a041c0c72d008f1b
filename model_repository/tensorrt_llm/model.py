"""Triton model `<model>.tensorrt_llm`: ids in, ids out, decoupled, in-flight batching."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from enginehouse.engine.codec import (
    ResponseEncoder,
    StopRequest,
    decode_request,
    read_priority,
)
from enginehouse.engine.job import Job
from enginehouse.engine.service import EngineService
from enginehouse.engine.triton_metrics import TritonMetrics
from enginehouse.model_repository.layout import bundle_dir, engine_settings

from enginehouse.errors import QueueFullError, ServingError, to_wire
from enginehouse.generation import Chunk, FinishReason

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def _error(error: ServingError) -> Any:
    code = (
        pb_utils.TritonError.UNAVAILABLE
        if isinstance(error, QueueFullError)
        else pb_utils.TritonError.INVALID_ARG
    )
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(to_wire(error), code))


class _TritonSink:
    """Sends one request's answer through Triton."""

    def __init__(self, sender: Any, encoder: ResponseEncoder) -> None:
        self._sender = sender
        self._encoder = encoder

    def send(self, job: Job, chunk: Chunk, /) -> None:
        if chunk.finish is FinishReason.CANCELLED and not chunk.token_ids:
            self._sender.send(flags=_FINAL)
            return
        outputs = self._encoder.encode(chunk, job.timings)
        tensors = [pb_utils.Tensor(name, value) for name, value in outputs.items()]
        self._sender.send(
            pb_utils.InferenceResponse(tensors), flags=_FINAL if chunk.finish is not None else 0
        )

    def fail(self, error: ServingError) -> None:
        self._sender.send(_error(error), flags=_FINAL)

    def cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())


class TritonPythonModel:
    """Named by Triton's Python backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's bundle and start the loop."""
        metrics = TritonMetrics(pb_utils, args["model_name"], args["model_version"])
        version_dir = Path(args["model_repository"]) / args["model_version"]
        self._service = EngineService(
            bundle_dir(version_dir), engine_settings(version_dir), metrics.publish
        )

    def execute(self, requests: list[Any]) -> None:
        """Hand requests to the loop; answers come through their senders."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._accept(request, sender)
            except ServingError as error:
                sender.send(_error(error), flags=_FINAL)

    def _accept(self, request: Any, sender: Any) -> None:
        arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        decoded = decode_request(
            arrays,
            request_id=request.request_id(),
            priority=read_priority(request.parameters()),
            limits=self._service.limits,
        )
        if isinstance(decoded, StopRequest):
            self._service.loop.cancel(decoded.request_id)
            sender.send(flags=_FINAL)
            return
        encoder = ResponseEncoder(decoded, frozenset(request.requested_output_names()))
        self._service.loop.submit(decoded, _TritonSink(sender, encoder))

    def finalize(self) -> None:
        """End the loop."""
        self._service.close()
