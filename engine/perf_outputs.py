"""Outputs of `return_perf_metrics`, in NVIDIA's names and types.

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
    """All ten outputs, ``[1, 1]`` each.

    No runtime tells how many blocks of a request's KV cache it found in the prefix cache. So the
    blocks are those that its tokens fill, all of them count as new, and reused is 0.

    Args:
        tokens: of the prompt and of the answer so far.
        block_tokens: tokens in a block of the KV cache; 0 if nobody knows, and then there is none.
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
