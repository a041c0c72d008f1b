"""Divides a GPU's memory into weights, activations, reserve and KV cache."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.perf.planner.bounds import PlannedWorkload
from enginehouse.perf.planner.deployment import Deployment

from enginehouse.errors import SettingsError

_GIB = 2**30
_ACTIVATION_BYTES = 2


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """The engine's memory settings; the defaults are TensorRT-LLM's.

    Attributes:
        kv_fraction: share of the memory beside weights and activations that becomes KV cache
            (`free_gpu_memory_fraction`, 0.9: nvidia.github.io/TensorRT-LLM, "How to Change KV
            Cache Behavior").
        max_batch: most sequences in flight (`max_batch_size`).
        max_tokens: most tokens of one step (`max_num_tokens`).
        reserve_bytes: CUDA context, communication buffers, captured graphs. The default of 2 GiB is
            an estimate, since drivers and libraries differ.
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
    """The division of one GPU's memory in bytes, and the KV cache of its replica.

    Attributes:
        free_bytes: memory beside weights, activations and reserve; negative if they do not fit.
        kv_bytes: KV cache pool of one GPU.
        kv_tokens: capacity of the whole replica's KV cache in tokens.
    """

    gpu_bytes: int
    weight_bytes: float
    activation_bytes: float
    reserve_bytes: int
    free_bytes: float
    kv_bytes: float
    kv_tokens: int

    def sequences(self, workload: PlannedWorkload) -> int:
        """Number of requests in flight, each with memory for its full length.

        This is TensorRT-LLM's default scheduling, GUARANTEED_NO_EVICT: a request that has started
        is never paused.
        """
        return self.kv_tokens // (workload.isl + workload.osl)


def memory_budget(d: Deployment, policy: MemoryPolicy) -> MemoryBudget:
    """Divide one GPU's memory: the KV cache gets a share of what the other parts leave."""
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
    """Bytes of the largest intermediate results of a step, in 16 bits, on one GPU.

    They are the two wide halves of a gated feed-forward, divided by tensor parallelism, and four
    vectors of hidden size (residual, norm, attention, output) on every GPU.
    """
    a = d.model.architecture
    wide = 2 * (a.intermediate_size or 4 * a.hidden_size) * d.model.experts_per_token
    return tokens * _ACTIVATION_BYTES * (wide / d.tensor_parallel + 4 * a.hidden_size)
