"""The outputs of `return_perf_metrics`, with NVIDIA's names and types.

Names and meanings: NVIDIA/TensorRT-LLM, `triton_backend/inflight_batcher_llm/src/
model_instance_state.cc` (commit 0c8de69a) and `executor::RequestPerfMetrics`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from enginehouse.generation import Drafts, Timings


def perf_outputs(
    timings: Timings, drafts: Drafts, tokens: int, block_tokens: int
) -> dict[str, NDArray[Any]]:
    """All ten outputs, each of shape ``[1, 1]``.

    No runtime reports how many KV cache blocks of a request it reused from the prefix cache. All
    blocks that the tokens fill therefore count as new, and `kv_cache_reused_blocks` is 0.

    Args:
        timings: moments of the request.
        drafts: counts of speculative tokens.
        tokens: tokens of the prompt and of the answer so far.
        block_tokens: tokens in a block of the KV cache. 0 means unknown, and reports 0 blocks.
    """
    blocks = -(-tokens // block_tokens) if block_tokens else 0
    return {
        "kv_cache_alloc_new_blocks": _one(blocks, np.int32),
        "kv_cache_reused_blocks": _one(0, np.int32),
        "kv_cache_alloc_total_blocks": _one(blocks, np.int32),
        "arrival_time_ns": _one(timings.arrival_ns, np.int64),
        "first_scheduled_time_ns": _one(timings.first_scheduled_ns, np.int64),
        "first_token_time_ns": _one(timings.first_token_ns, np.int64),
        "last_token_time_ns": _one(timings.last_token_ns, np.int64),
        "acceptance_rate": _one(drafts.acceptance, np.float32),
        "total_accepted_draft_tokens": _one(drafts.accepted, np.int32),
        "total_draft_tokens": _one(drafts.drafted, np.int32),
    }


def _one(value: float, dtype: Any) -> NDArray[Any]:
    return np.array([[value]], dtype=dtype)
