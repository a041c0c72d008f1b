"""`reports/speed.json`: a first measurement of an engine's speed, made by the build."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from enginehouse.engine.runtime import Runtime, SlotState
from pydantic import BaseModel, ConfigDict

from enginehouse.generation import GenerationRequest
from enginehouse.text import Tokenizer

SPEED_FILE = "reports/speed.json"
_PROMPT = "Write a short note about the history of the steam engine and what it changed. " * 4
_TOKENS = 32
_ROUNDS = 3


class SpeedReport(BaseModel):
    """Speed of greedy generation on the build host, with direct calls of the engine.

    Attributes:
        rounds: number of measurements of each figure.
        ttft_ms: median time to first token of a single request.
        tokens_per_second_1, tokens_per_second_16: median of the generated tokens a second with 1
            and 16 requests in flight, first tokens included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_tokens: int
    generated_tokens: int
    rounds: int
    ttft_ms: float
    tokens_per_second_1: float
    tokens_per_second_16: float


def read_speed(bundle_dir: Path) -> SpeedReport | None:
    """The speed report of a bundle; None if it has none."""
    path = bundle_dir / SPEED_FILE
    return SpeedReport.model_validate_json(path.read_bytes()) if path.is_file() else None


def measure_speed(runtime: Runtime, tokenizer: Tokenizer) -> SpeedReport:
    """Measure a few rounds after one warm-up round."""
    ids = tokenizer.encode(_PROMPT)
    _round(runtime, ids, 1, 0)
    alone = [_round(runtime, ids, 1, 1 + i) for i in range(_ROUNDS)]
    many = [_round(runtime, ids, 16, 100 * (1 + i)) for i in range(_ROUNDS)]
    return SpeedReport(
        prompt_tokens=len(ids),
        generated_tokens=_TOKENS,
        rounds=_ROUNDS,
        ttft_ms=1e3 * median(first for first, _ in alone),
        tokens_per_second_1=median(_TOKENS / total for _, total in alone),
        tokens_per_second_16=median(16 * _TOKENS / total for _, total in many),
    )


def _round(runtime: Runtime, ids: list[int], streams: int, salt: int) -> tuple[float, float]:
    """Seconds to the first token of a request, and to the last token of all."""
    # Each request starts with a different id, so that the prefix cache has no effect.
    requests = [
        GenerationRequest([ids[(salt + i) % len(ids)], *ids], max_tokens=_TOKENS)
        for i in range(streams)
    ]
    began = time.perf_counter()
    running = [runtime.admit(request, ()) for request in requests]
    first = 0.0
    while running:
        runtime.step()
        drained = [slot.drain() for slot in running]
        if not first and any(d.token_ids for d in drained):
            first = time.perf_counter() - began
        pairs = zip(running, drained, strict=True)
        running = [slot for slot, d in pairs if d.state is SlotState.RUNNING]
    return first, time.perf_counter() - began
