"""Expected performance of a good engine: the sum of the bounds' parts, divided by efficiencies.

A bound assumes that all parts of a step overlap. In real steps they do not: attention waits for
memory while the tensor cores are idle, and an all-reduce waits for both. The sum of the parts, with
four efficiency factors that are equal for every model and GPU and a fifth for FP4, fits 132
published throughputs of TensorRT-LLM, from one L40S to eight H200, with a mean error of 8 % (see
`check` and docs/gpu-planning.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist

from enginehouse.perf.planner.bounds import (
    PlannedWorkload,
    Roof,
    Roofs,
    decode_roofs,
    prefill_roofs,
    step_roofs,
)
from enginehouse.perf.planner.deployment import Deployment
from enginehouse.perf.planner.memory import MemoryBudget, MemoryPolicy, memory_budget

from enginehouse.errors import SettingsError

_P95 = 0.95


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Shares of the peak that an engine reaches, 0 to 1. The module explains the defaults.

    Attributes:
        memory: of the bandwidth (MBU). DRAM refresh and short kernels reduce it.
        arithmetic: of the dense peak (MFU). Under tensor core load clocks are below the datasheet's
            boost, and the softmax of attention runs outside the tensor cores.
        arithmetic_fp4: the same for NVFP4, where block scales take a larger share of the work.
        link: of the link, including the repeated traffic of a ring.
        overhead_s: constant time of each step for scheduling, kernel launches and sampling.
    """

    memory: float = 0.9
    arithmetic: float = 0.6
    arithmetic_fp4: float = 0.4
    link: float = 0.5
    overhead_s: float = 0.002

    def __post_init__(self) -> None:
        for name in ("memory", "arithmetic", "arithmetic_fp4", "link"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingsError(
                    f"{name} efficiency is {getattr(self, name)}; give more than 0, at most 1"
                )
        if self.overhead_s < 0:
            raise SettingsError(f"overhead_s is {self.overhead_s}; give 0 or more seconds")


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies of a replica in steady state, in seconds, without time in a queue.

    Attributes:
        itl_mean_s: mean time between two tokens of a request.
        itl_p95_s, ttft_p95_s: 95th percentiles.
    """

    itl_mean_s: float
    itl_p95_s: float
    ttft_mean_s: float
    ttft_p95_s: float


@dataclass(frozen=True, slots=True)
class PlannedReplica:
    """A deployment that serves a workload, with efficiency factors and memory policy."""

    deployment: Deployment
    workload: PlannedWorkload
    efficiency: Efficiency = field(default_factory=Efficiency)
    policy: MemoryPolicy = field(default_factory=MemoryPolicy)

    @property
    def memory(self) -> MemoryBudget:
        """The division of a GPU's memory."""
        return memory_budget(self.deployment, self.policy)

    @property
    def largest_batch(self) -> int:
        """Most sequences in flight by memory and the engine's limit; 0 if none fits."""
        return min(self.policy.max_batch, self.memory.sequences(self.workload))

    def parts(self, roofs: Roofs) -> dict[Roof, float]:
        """Seconds of each part at its efficiency.

        A ring all-reduce of n GPUs sends ``2 (n - 1) / n`` times the minimum (Patarasuk and Yuan,
        J. Parallel Distrib. Comput. 69(2), 2009).
        """
        d, e = self.deployment, self.efficiency
        ring = 2 * (d.tensor_parallel - 1) / d.tensor_parallel
        arithmetic = e.arithmetic_fp4 if d.arithmetic == "fp4" else e.arithmetic
        return {
            "memory bandwidth": roofs.memory_s / e.memory,
            "arithmetic": roofs.arithmetic_s / arithmetic,
            "link": roofs.link_s * ring / e.link,
        }

    def seconds(self, roofs: Roofs) -> float:
        """Expected time of one pass: the sum of its parts and the overhead of a step."""
        return sum(self.parts(roofs).values()) + self.efficiency.overhead_s

    def step_s(self, batch: float) -> float:
        """Expected time of a step of in-flight batching in steady state."""
        return self.seconds(step_roofs(self.deployment, self.workload, batch))

    def throughput(self, batch: float) -> float:
        """Expected output tokens a second in steady state with a batch."""
        return batch / self.step_s(batch)

    def largest_part(self, batch: float) -> Roof:
        """The part of a step that takes longest."""
        shares = self.parts(step_roofs(self.deployment, self.workload, batch))
        return max(shares, key=shares.__getitem__)

    def latencies(self, batch: float) -> Latencies:
        """Latencies with a batch in steady state.

        In each step ``batch / OSL`` requests start on average (Poisson distributed). 95 % of the
        steps compute at most ``k`` new prompts, and at most `max_tokens` of their tokens, in
        addition to decoding. This gives the 95th percentile of the time between two tokens. A new
        request waits for the running step (half of it on average, all of it at worst), then for the
        steps that compute the prompts that arrived with it.
        """
        step, isl = self.step_s(batch), self.workload.isl
        together = poisson_quantile(batch / self.workload.osl, _P95)
        in_a_step = min(float(together), self.policy.max_tokens / isl)
        return Latencies(
            itl_mean_s=step,
            itl_p95_s=max(step, self._step_with(batch, in_a_step)),
            ttft_mean_s=step / 2 + self._prefill_s(batch, 1),
            ttft_p95_s=step + self._prefill_s(batch, max(together, 1)),
        )

    def _prefill_s(self, batch: float, prompts: int) -> float:
        """Seconds of the steps that compute `prompts` prompts while the others decode."""
        chunks = max(1, math.ceil(prompts * self.workload.isl / self.policy.max_tokens))
        return chunks * self._step_with(max(batch - 1, 0), prompts / chunks)

    def _step_with(self, batch: float, prompts: float) -> float:
        """Seconds of a step that decodes `batch` sequences and computes `prompts` prompts."""
        nothing = Roofs(0.0, 0.0, 0.0)
        d, workload = self.deployment, self.workload
        decode = decode_roofs(d, batch, workload.mean_context) if batch else nothing
        prefill = prefill_roofs(d, workload.isl, prompts) if prompts else nothing
        return self.seconds(
            Roofs(
                memory_s=max(decode.memory_s, prefill.memory_s),  # weights are read once for both
                arithmetic_s=decode.arithmetic_s + prefill.arithmetic_s,
                link_s=decode.link_s + prefill.link_s,
            )
        )


def poisson_quantile(mean: float, share: float) -> int:
    """The quantile `share` of the Poisson distribution with a mean.

    Above a mean of 500 the normal approximation is used, because the sum would underflow.
    """
    if mean > 500:  # noqa: PLR2004 - exp(-745) is the smallest double
        return math.ceil(NormalDist(mean, math.sqrt(mean)).inv_cdf(share))
    k, chance = 0, math.exp(-mean)
    total = chance
    while total < share:
        k += 1
        chance *= mean / k
        total += chance
    return k
