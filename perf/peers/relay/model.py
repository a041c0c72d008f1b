# ruff: noqa: INP001 - Triton loads this file by path
"""The handwritten baseline: one decoupled Triton model with a continuous batching pipeline.

A thread steps the pipeline. Each token of each request is sent as a response of its own.
"""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino_genai as genai
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


@dataclass
class _Request:
    sender: Any
    handle: Any
    text: Any
    tokens: int = 0


class TritonPythonModel:
    """Generates text, with one response for each token."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the engine and start the loop."""
        parameters = json.loads(args["model_config"])["parameters"]
        bundle = parameters["bundle"]["string_value"]
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = 1
        scheduler.max_num_batched_tokens = 1024
        scheduler.max_num_seqs = 64
        scheduler.enable_prefix_caching = True
        self._pipeline = genai.ContinuousBatchingPipeline(f"{bundle}/engine", scheduler, "CPU")
        self._tokenizer = Tokenizer.from_file(f"{bundle}/tokenizer.json")
        self._arrived: queue.Queue[Any] = queue.Queue()
        self._running = True
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def execute(self, requests: list[Any]) -> None:
        """Queue the requests for the loop."""
        for request in requests:
            self._arrived.put(request)

    def finalize(self) -> None:
        """End the loop."""
        self._running = False
        self._thread.join()

    def _loop(self) -> None:
        active: list[_Request] = []
        number = 0
        while self._running:
            try:
                # Wait only if no request is active.
                arrived = self._arrived.get(timeout=0.5) if not active else None
                while arrived is not None or not self._arrived.empty():
                    active.append(self._admit(arrived or self._arrived.get(), number))
                    number += 1
                    arrived = None
            except queue.Empty:
                continue
            self._pipeline.step()
            active = [request for request in active if not self._deliver(request)]

    def _admit(self, request: Any, number: int) -> _Request:
        prompt = _first(request, "text_input").decode()
        config = genai.GenerationConfig()
        config.max_new_tokens = int(_first(request, "max_tokens"))
        config.ignore_eos = bool(_first(request, "ignore_eos"))
        config.do_sample = False
        ids = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        handle = self._pipeline.add_request(number, _tensor(ids), config)
        return _Request(request.get_response_sender(), handle, DecodeStream())

    def _deliver(self, request: _Request) -> bool:
        """Send the tokens of a step; return whether the request has ended."""
        while request.handle.can_read():
            for output in request.handle.read().values():
                for token in output.generated_ids:
                    request.tokens += 1
                    self._send(request, request.text.step(self._tokenizer, token) or "")
        if request.handle.get_status() == genai.GenerationStatus.RUNNING:
            return False
        request.sender.send(flags=_FINAL)
        return True

    def _send(self, request: _Request, text: str) -> None:
        outputs = [
            pb_utils.Tensor("text_output", np.array([text.encode()], dtype=np.object_)),
            pb_utils.Tensor("tokens", np.array([request.tokens], dtype=np.int32)),
        ]
        request.sender.send(pb_utils.InferenceResponse(outputs))


def _first(request: Any, name: str) -> Any:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0]


def _tensor(ids: list[int]) -> Any:
    import openvino

    return openvino.Tensor(np.array([ids], dtype=np.int64))
