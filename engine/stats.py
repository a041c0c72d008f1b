"""Figures of a loop, as plain numbers; publishing them is somebody else's job."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LoopStats:
    """Totals since the loop began, and the state after its last step.

    Attributes:
        kv_cache_usage: share of the pool in use, 0 to 1.
        draft_steps: times that a step's tokens of one request came from speculative decoding.
        accepted_draft_tokens: tokens of those steps beyond the one that any step gives.
        draft_acceptance: accepted tokens, of the most that could have been drafted. The runtime
            does not say how many were.
        guide_violations: finished answers that do not fit their JSON Schema; see `judged.py`.
        context_requests: requests in the batch that have no token yet.
        context_tokens: of their prompts.
        paused: requests that wait for the repair of a failed step.
        max_requests: most requests in the batch.
        block_tokens, kv_blocks: of the KV cache, see `Runtime`.
        step_seconds_max: longest step since the figures were last published.
    """

    in_flight: int = 0
    waiting: int = 0
    kv_cache_usage: float = 0.0
    steps: int = 0
    step_seconds: float = 0.0
    step_seconds_max: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    rejected: int = 0
    recoveries: int = 0
    guide_violations: int = 0
    draft_steps: int = 0
    accepted_draft_tokens: int = 0
    draft_acceptance: float = 0.0
    context_requests: int = 0
    context_tokens: int = 0
    paused: int = 0
    max_requests: int = 0
    block_tokens: int = 0
    kv_blocks: int = 0
