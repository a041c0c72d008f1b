"""Next-token distributions of an OpenVINO engine, which its serving pipeline does not return."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from enginehouse.build.parity import NextTokenLogProbs
from numpy.typing import NDArray

from enginehouse.manifest import EngineSettings


def next_token_log_probs(engine_dir: Path, settings: EngineSettings) -> NextTokenLogProbs:
    """A function that computes log-probabilities with the engine's graph, weights and precision.

    The serving pipeline returns the log-probability of the chosen token only. This function
    therefore uses the graph's attention instead of paged attention. The effect of the KV cache
    precision is measured by the greedy part of a proof, which the serving pipeline generates.
    """
    core = openvino.Core()
    properties = (
        {}
        if settings.precision_hint == "auto"
        else {"INFERENCE_PRECISION_HINT": settings.precision_hint}
    )
    compiled = core.compile_model(engine_dir / "openvino_model.xml", "CPU", properties)
    names = {name for port in compiled.inputs for name in port.get_names()}

    def run(ids: Sequence[int]) -> NDArray[Any]:
        inputs = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "position_ids": np.arange(len(ids), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        request = compiled.create_infer_request()
        output = request.infer({k: v for k, v in inputs.items() if k in names})
        logits = np.asarray(output[0][0], np.float64)
        peak = logits.max(axis=-1, keepdims=True)
        norm = peak + np.log(np.exp(logits - peak).sum(axis=-1, keepdims=True))
        return np.asarray(logits - norm)

    return run
