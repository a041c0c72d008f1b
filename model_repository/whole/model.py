"""Triton model `<model>.whole`, also served under NVIDIA's name `tensorrt_llm_bls`.

It calls the same parts as the ensemble, on threads of its own, so that its requests share the
engine's batch. Without the decoupled policy it sends one response for each request, as a unary
`infer` needs. With it, it forwards every response of the engine.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from enginehouse.model_repository.failures import unforeseen
from enginehouse.model_repository.gathering import DividedRequest, divide, gather
from enginehouse.model_repository.parts import Outputs, PartFailedError, Parts
from enginehouse.model_repository.under_way import ActiveRequest, UnderWay

from enginehouse.errors import EngineUnavailableError, QueueFullError, ServingError, to_wire

_log = logging.getLogger(__name__)
#: Threads for `stop` requests, which must not wait for the requests that they stop.
_SPARE_THREADS = 4
_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Named by Triton's Python backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the model and version that it is pinned to from its configuration."""
        config = json.loads(args["model_config"])
        given = {key: value["string_value"] for key, value in config["parameters"].items()}
        self._name = args["model_name"]
        self._streams = pb_utils.using_decoupled_model_transaction_policy(config)
        self._order = [output["name"] for output in config["output"]]
        self._parts = Parts(pb_utils, given["model"], int(given["version"]))
        most = int(given["most_under_way"])
        self._under_way = UnderWay(most, self._parts.stop)
        self._pool = ThreadPoolExecutor(most + _SPARE_THREADS, thread_name_prefix="whole")

    def execute(self, requests: list[Any]) -> None:
        """Submit requests to threads, which send the answers."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._accept(request, sender)
            except Exception as error:  # noqa: BLE001 - it would fail all requests of the batch
                sender.send(_failure(error), flags=_FINAL)

    def _accept(self, request: Any, sender: Any) -> None:
        # Copy the inputs: Triton reuses their memory once `execute` has returned.
        arrays = {tensor.name(): np.array(tensor.as_numpy()) for tensor in request.inputs()}
        asked = divide(arrays, self._name, streams=self._streams)
        client_id = request.request_id()
        if asked.stop:
            self._under_way.stop(client_id)
            self._pool.submit(self._stop, client_id, sender)
            return
        parameters = json.loads(request.parameters() or "{}")
        requested = frozenset(request.requested_output_names())
        wanted = [name for name in self._order if name in requested]
        entry = self._under_way.enter(client_id, sender.is_cancelled)
        self._pool.submit(self._answer, asked, wanted, parameters, entry, sender)

    def _answer(
        self,
        asked: DividedRequest,
        wanted: list[str],
        parameters: Mapping[str, Any],
        entry: ActiveRequest,
        sender: Any,
    ) -> None:
        last = None
        try:
            chunks = self._parts.generate(asked, wanted, parameters, entry)
            if self._streams:
                for chunk in chunks:
                    sender.send(self._made(asked, wanted, chunk))
            else:
                last = self._made(asked, wanted, gather(list(chunks)))
        except Exception as error:  # noqa: BLE001 - or the client would wait for ever
            last = _failure(error)
        # Remove the entry first: Triton must not be asked about a request that has been answered.
        self._under_way.leave(entry)
        self._send_last(sender, last)

    def _stop(self, client_id: str, sender: Any) -> None:
        """End the engine's requests with the client's own id, such as streams of the ensemble."""
        last = None
        try:
            self._parts.stop(client_id)
        except Exception as error:  # noqa: BLE001 - or the client would wait for ever
            last = _failure(error)
        self._send_last(sender, last)

    def _send_last(self, sender: Any, last: Any) -> None:
        """Send the final response. Without the decoupled policy it must not be missing."""
        if last is None and not self._streams:
            last = pb_utils.InferenceResponse([])
        if last is None:
            sender.send(flags=_FINAL)
        else:
            sender.send(last, flags=_FINAL)

    def _made(self, asked: DividedRequest, wanted: list[str], chunk: Outputs) -> Any:
        """A response with the wanted outputs of a chunk, in the configuration's order."""
        if asked.preprocessing is not None and "output_ids" in chunk and "text_output" in wanted:
            chunk["text_output"] = self._parts.text(chunk)
        names = [name for name in wanted if name in chunk]
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, chunk[name]) for name in names])

    def finalize(self) -> None:
        """Stop the threads; Triton calls this when no request is left."""
        self._under_way.close()
        self._pool.shutdown()


def _failure(error: Exception) -> Any:
    if isinstance(error, PartFailedError):
        return pb_utils.InferenceResponse(error=error.error)
    if isinstance(error, pb_utils.TritonModelException):
        _log.warning("a part could not be called: %s", error)
        error = EngineUnavailableError("a part of this model is not ready; try again later")
    if not isinstance(error, ServingError):
        error = unforeseen(error)
    code = (
        pb_utils.TritonError.UNAVAILABLE
        if isinstance(error, QueueFullError | EngineUnavailableError)
        else pb_utils.TritonError.INVALID_ARG
    )
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(to_wire(error), code))
