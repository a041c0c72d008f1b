"""What is left for the KV cache on a GPU, as an engine sets it aside."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.perf.planner.bounds import PlannedWorkload
from enginehouse.perf.planner.deployment import Deployment

from enginehouse.errors import SettingsError

_GIB = 2**30
_ACTIVATION_BYTES = 2


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """How an engine divides a GPU's memory; defaults are TensorRT-LLM's.

    Attributes:
        kv_fraction: share of what is free beside weights and activations that becomes KV cache
            (`free_gpu_memory_fraction`, 0.9: nvidia.github.io/TensorRT-LLM, "How to Change KV
            Cache Behavior").
        max_batch: sequences in flight (`max_batch_size`).
        max_tokens: tokens of one step (`max_num_tokens`).
        reserve_bytes: CUDA context, communication buffers, captured graphs. Two GiB is an
            estimate: drivers and libraries differ by more than it would be worth to model.
    """

    kv_fraction: float = 0.9
    max_batch: int = 2048
    max_tokens: int = 8192
    reserve_bytes: int = 2 * _GIB

    def __post_init__(self) -> None:
        if not 0 < self.kv_fraction <= 1:
            raise SettingsError(f"kv_fraction is {self.kv_fraction}; give more than 0, at most 1")
        for name in ("max_batch", "max_tokens"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; give 1 or more")


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """One GPU's memory in bytes, and what its replica holds.

    Attributes:
        free_bytes: left of the GPU's after all three others; negative when they do not fit.
        kv_bytes: KV cache pool of one GPU.
        kv_tokens: tokens of KV cache of the whole replica.
    """

    gpu_bytes: int
    weight_bytes: float
    activation_bytes: float
    reserve_bytes: int
    free_bytes: float
    kv_bytes: float
    kv_tokens: int

    def sequences(self, workload: PlannedWorkload) -> int:
        """Requests in flight, each with room for its full length.

        That is TensorRT-LLM's default scheduler, GUARANTEED_NO_EVICT: a request that has started
        is never paused.
        """
        return self.kv_tokens // (workload.isl + workload.osl)


def memory_budget(d: Deployment, policy: MemoryPolicy) -> MemoryBudget:
    """Divide one GPU's memory: weights, activations and reserve first, then the KV cache."""
    activations = activation_bytes(d, policy.max_tokens)
    free = d.gpu.memory_bytes - d.weight_bytes_per_gpu - activations - policy.reserve_bytes
    kv = max(free, 0.0) * policy.kv_fraction
    return MemoryBudget(
        gpu_bytes=d.gpu.memory_bytes,
        weight_bytes=d.weight_bytes_per_gpu,
        activation_bytes=activations,
        reserve_bytes=policy.reserve_bytes,
        free_bytes=free,
        kv_bytes=kv,
        kv_tokens=int(kv * d.kv_shards / d.kv_bytes_per_token),
    )


def activation_bytes(d: Deployment, tokens: int) -> float:
    """Largest intermediate results of a step over `tokens` tokens, in 16 bits, on one GPU.

    The two wide halves of a gated feed-forward, shared out by tensor parallelism, and four
    vectors of hidden size (residual, norm, attention, output), which every GPU holds whole.
    """
    a = d.model.architecture
    wide = 2 * (a.intermediate_size or 4 * a.hidden_size) * d.model.experts_per_token
    return tokens * _ACTIVATION_BYTES * (wide / d.tensor_parallel + 4 * a.hidden_size)
