"""Triton model `<model>.tensorrt_llm`: generates token ids, decoupled, with in-flight batching."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from enginehouse.engine.codec import (
    StopRequest,
    decode_request,
    description,
    read_parameters,
)
from enginehouse.engine.encoder import ResponseEncoder
from enginehouse.engine.job import Job
from enginehouse.engine.nvidia_metrics import NvidiaMetrics
from enginehouse.engine.service import EngineService
from enginehouse.engine.stats import LoopStats
from enginehouse.engine.stop_relay import StopRelay
from enginehouse.engine.tracing import open_spans
from enginehouse.engine.triton_metrics import TritonMetrics
from enginehouse.model_repository.failures import unforeseen
from enginehouse.model_repository.layout import bundle_dir, engine_settings

from enginehouse.contract import PROBE_PRIORITY
from enginehouse.errors import QueueFullError, ServingError, to_wire
from enginehouse.generation import Chunk, FinishReason, each_sequence

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
#: Interval of checks for a disconnected client. Each is a round trip to Triton, during which the
#: engine does not work. At every step with 64 streams they took 60 % of the loop's own time.
_ASK_EVERY_S = 0.2


def _error(error: ServingError) -> Any:
    code = (
        pb_utils.TritonError.UNAVAILABLE
        if isinstance(error, QueueFullError)
        else pb_utils.TritonError.INVALID_ARG
    )
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(to_wire(error), code))


class _TritonSink:
    """Sends the answers to one request; the last response of the last answer is final."""

    def __init__(
        self, sender: Any, encoders: list[ResponseEncoder], metrics: NvidiaMetrics
    ) -> None:
        self._sender = sender
        self._metrics = metrics
        self._generated = 0
        self._encoders = encoders
        self._open = len(encoders)
        self._failed = False
        self._ask_at = 0.0

    def send(self, job: Job, chunk: Chunk, /) -> None:
        if self._failed:
            return
        if chunk.finish is not None:
            self._open -= 1
            self._count(job)
        flags = 0 if self._open else _FINAL
        if chunk.finish is FinishReason.CANCELLED and not chunk.token_ids:
            if flags:
                self._sender.send(flags=flags)
            return
        outputs = self._encoders[job.request.sequence_index].encode(chunk, job.timings, job.drafts)
        tensors = [pb_utils.Tensor(name, value) for name, value in outputs.items()]
        self._sender.send(pb_utils.InferenceResponse(tensors), flags=flags)

    def _count(self, job: Job) -> None:
        """Record the lengths of a finished request, except of health probes."""
        self._generated += len(job.generated)
        if not self._open and job.request.priority < PROBE_PRIORITY:
            self._metrics.finished(len(job.request.input_ids), self._generated)

    def fail(self, error: ServingError) -> None:
        if not self._failed:
            self._failed = True
            self._sender.send(_error(error), flags=_FINAL)

    def cancelled(self) -> bool:
        if self._failed:
            # If one answer failed, the other answers to the request are cancelled.
            return True
        now = time.monotonic()
        if now < self._ask_at:
            return False
        self._ask_at = now + _ASK_EVERY_S
        return bool(self._sender.is_cancelled())


class TritonPythonModel:
    """Named by Triton's Python backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's bundle and start the loop."""
        instance = args["model_instance_name"].rpartition("_")[2]
        about = (pb_utils, args["model_name"], args["model_version"], instance)
        ours, self._metrics = TritonMetrics(*about), NvidiaMetrics(*about)

        def publish(stats: LoopStats) -> None:
            ours.publish(stats)
            self._metrics.publish(stats)

        version_dir = Path(args["model_repository"]) / args["model_version"]
        self._service = EngineService(
            bundle_dir(version_dir),
            engine_settings(version_dir),
            publish,
            open_spans(os.environ, args["model_name"], args["model_version"]),
        )
        self._relay = StopRelay(str(version_dir), int(instance), self._service.cancel)

    def execute(self, requests: list[Any]) -> None:
        """Submit requests to the loop, which sends the answers."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._accept(request, sender)
            except ServingError as error:
                sender.send(_error(error), flags=_FINAL)
            except Exception as error:  # noqa: BLE001 - see `unforeseen`
                sender.send(_error(unforeseen(error)), flags=_FINAL)

    def _accept(self, request: Any, sender: Any) -> None:
        arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        parameters = read_parameters(request.parameters())
        if parameters.describe:
            said = pb_utils.Tensor("output_ids", description(self._service.identity))
            sender.send(pb_utils.InferenceResponse([said]), flags=_FINAL)
            return
        decoded = decode_request(
            arrays,
            request_id=request.request_id(),
            parameters=parameters,
            limits=self._service.limits,
        )
        if isinstance(decoded, StopRequest):
            self._service.cancel(decoded.request_id)
            self._relay.send(decoded.request_id)
            sender.send(flags=_FINAL)
            return
        wanted = frozenset(request.requested_output_names())
        block = self._service.block_tokens
        encoders = [ResponseEncoder(one, wanted, block) for one in each_sequence(decoded)]
        self._service.submit(decoded, _TritonSink(sender, encoders, self._metrics))

    def finalize(self) -> None:
        """End the loop and release the engine."""
        self._relay.close()
        self._service.close()
        self._metrics.close()
