"""Statistics of an engine loop as plain numbers; `triton_metrics` publishes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LoopStats:
    """Totals since the loop started, and its state after the last step.

    Attributes:
        in_flight: requests in the batch, quarantined ones included.
        waiting: requests in the queue.
        kv_cache_usage: share of the KV cache pool in use, 0 to 1.
        steps, step_seconds: number and total duration of the steps.
        step_seconds_max: longest step since the last publication.
        prompt_tokens, generated_tokens: tokens admitted and generated.
        completed, cancelled, failed, rejected: requests by their end.
        recoveries: failed steps after which the runtime was cleared.
        guide_violations: finished answers that violate their JSON Schema; see `judged.py`.
        draft_steps: speculative steps, counted once for each request in the step.
        accepted_draft_tokens: tokens of those steps beyond the one that every step generates.
        draft_acceptance: accepted draft tokens divided by the maximum that could have been
            drafted. The runtime does not report how many were drafted.
        context_requests: requests in the batch without a generated token.
        context_tokens: prompt tokens of those requests.
        paused: requests in quarantine after a failed step.
        max_requests: largest batch.
        block_tokens, kv_blocks: size and number of KV cache blocks, see `Runtime`.
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
