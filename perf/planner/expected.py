"""What a good engine reaches: the bounds' parts, each divided by how well it is used, added up.

A bound hides all parts behind the slowest. Real steps do not: attention waits for memory while
the tensor cores idle, an all-reduce waits for both. Adding the parts up, with four factors that
are the same for every model and GPU and a fifth for FP4, fits 132 published throughputs of
TensorRT-LLM, from one L40S to eight H200, with a mean error of 8 % (see `check` and
docs/gpu-planning.md).
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
    """Shares of the peak that an engine reaches; 0 to 1. Defaults: see the module.

    Attributes:
        memory: of bandwidth (MBU). DRAM refresh and short kernels keep it from 1.
        arithmetic: of dense peak (MFU). Clocks fall below the datasheet's boost under tensor core
            load, and attention's softmax runs outside the tensor cores.
        arithmetic_fp4: the same for NVFP4, whose block scales cost more beside fewer operations.
        link: of the link, its ring's repeated traffic counted.
        overhead_s: of each step whatever its size: scheduling, kernel launches, sampling.
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
    """Of a replica in steady state, seconds.

    Attributes:
        itl_mean_s: between two tokens of a request, on average.
        itl_p95_s, ttft_p95_s: not exceeded by 95 of 100; without time spent in a queue.
    """

    itl_mean_s: float
    itl_p95_s: float
    ttft_mean_s: float
    ttft_p95_s: float


@dataclass(frozen=True, slots=True)
class PlannedReplica:
    """A deployment that serves a workload, with the factors to reckon with."""

    deployment: Deployment
    workload: PlannedWorkload
    efficiency: Efficiency = field(default_factory=Efficiency)
    policy: MemoryPolicy = field(default_factory=MemoryPolicy)

    @property
    def memory(self) -> MemoryBudget:
        """How a GPU's memory is divided."""
        return memory_budget(self.deployment, self.policy)

    @property
    def largest_batch(self) -> int:
        """Sequences in flight that memory and the engine's limit allow; 0 when none fits."""
        return min(self.policy.max_batch, self.memory.sequences(self.workload))

    def parts(self, roofs: Roofs) -> dict[Roof, float]:
        """Seconds of each part at its efficiency.

        A ring all-reduce of n GPUs sends ``2 (n - 1) / n`` times what a GPU must send at least
        (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69(2), 2009).
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
        """Expected time of one pass: its parts one after the other, and a step's overhead."""
        return sum(self.parts(roofs).values()) + self.efficiency.overhead_s

    def step_s(self, batch: float) -> float:
        """Expected time of a step of in-flight batching in steady state."""
        return self.seconds(step_roofs(self.deployment, self.workload, batch))

    def throughput(self, batch: float) -> float:
        """Expected output tokens a second in steady state at a batch."""
        return batch / self.step_s(batch)

    def largest_part(self, batch: float) -> Roof:
        """Which part of a step takes longest."""
        shares = self.parts(step_roofs(self.deployment, self.workload, batch))
        return max(shares, key=shares.__getitem__)

    def latencies(self, batch: float) -> Latencies:
        """Latencies at a batch in steady state.

        In each step ``batch / OSL`` requests begin on average, by chance (Poisson). 95 of 100
        steps compute at most ``k`` new prompts, and at most `max_tokens` of their tokens, beside
        the decoding: that is the 95th percentile between two tokens. A new request waits for the
        running step (half of it on average, all of it at worst), then for the steps that compute
        the prompts that came with it.
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
        """Steps that compute `prompts` prompts while the others of the batch go on decoding."""
        chunks = max(1, math.ceil(prompts * self.workload.isl / self.policy.max_tokens))
        return chunks * self._step_with(max(batch - 1, 0), prompts / chunks)

    def _step_with(self, batch: float, prompts: float) -> float:
        """A step in which `batch` sequences decode and so many prompts are computed."""
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
    """Smallest k that a Poisson variable of that mean does not exceed with chance `share`.

    Beyond a mean of 500 the normal distribution's, because the sum would underflow.
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
