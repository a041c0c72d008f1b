"""Greedy answers of the raw pipeline, one prompt at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
from enginehouse.engine.openvino import generation_config

from enginehouse.generation import GenerationRequest


def greedy(engine: Any, request: GenerationRequest) -> list[int]:
    """Ids that the pipeline generates for a request with nothing else in its batch."""
    prompt = openvino.Tensor(np.array([request.input_ids], np.int64))
    handle = engine.add_request(0, prompt, generation_config(request))
    ids: list[int] = []
    while engine.has_non_finished_requests():
        engine.step()
        while handle.can_read():
            ids.extend(handle.read()[0].generated_ids)
    return ids
