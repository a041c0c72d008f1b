"""The default bundle against what torch computes from the same weights (data/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from enginehouse.build.proof import continue_greedily
from enginehouse.engine.runtimes import load_runtime

from enginehouse.bundle import Bundle
from enginehouse.manifest import EngineSettings

_REFERENCE = json.loads(
    (Path(__file__).parent.parent / "data" / "smollm2-135m-q4_1.json").read_text()
)
_WINDOW = 512


@pytest.fixture(scope="module")
def logits_of(bundle: Bundle) -> Any:
    """ids [n] → logits [n, vocabulary], in float32."""
    core = openvino.Core()
    model = core.read_model(bundle.engine_dir / "openvino_model.xml")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(ids: list[int]) -> Any:
        request = compiled.create_infer_request()
        inputs = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "position_ids": np.arange(len(ids), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        names = {name for port in compiled.inputs for name in port.get_names()}
        return request.infer({k: v for k, v in inputs.items() if k in names})[0][0]

    return run


@pytest.mark.slow(reason="a long text in float32; the build's own proof has the perplexity")
def test_mean_log_likelihood_is_the_references(logits_of: Any) -> None:
    total, count = 0.0, 0
    ids = _REFERENCE["text_ids"]
    for start in range(0, len(ids), _WINDOW):
        window = ids[start : start + _WINDOW]
        logits = logits_of(window)[:-1].astype(np.float64)
        peak = logits.max(axis=1, keepdims=True)
        norm = peak[:, 0] + np.log(np.exp(logits - peak).sum(axis=1))
        total += float((logits[np.arange(len(window) - 1), window[1:]] - norm).sum())
        count += len(window) - 1
    assert total / count == pytest.approx(_REFERENCE["mean_log_likelihood"], abs=0.002)


@pytest.mark.slow(reason="sixteen answers of 64 tokens in float32")
def test_greedy_continuations_are_the_references(bundle: Bundle) -> None:
    settings = EngineSettings(precision_hint="f32", kv_cache_precision="f16")
    expected = _REFERENCE["greedy_64"]
    runtime = load_runtime(bundle, settings)
    answers = continue_greedily(runtime, _REFERENCE["prompts_ids"], len(expected[0]))
    runtime.close()
    assert sum(a == b for a, b in zip(answers, expected, strict=True)) >= 14
