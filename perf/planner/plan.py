"""Plans replicas, GPUs and cost from model, GPU, lengths, SLO, demand and price."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from enginehouse.perf.planner.alternatives import what_would
from enginehouse.perf.planner.bounds import (
    Roof,
    batch_ceiling,
    decode_roofs,
    step_roofs,
    throughput_bound,
    ttft_bound_s,
)
from enginehouse.perf.planner.expected import Latencies, PlannedReplica
from enginehouse.perf.planner.memory import MemoryBudget

from enginehouse.errors import SettingsError

_GIB = 2**30
_MILLION = 1e6
_SECONDS_PER_HOUR = 3600
#: The narrowest experts in the published figures (Qwen3-235B-A22B); see "not met" in
#: published.yaml.
_NARROWEST_EXPERT = 1536
UTILISATION = 0.8
Limit = Literal["KV cache", "max batch", "ITL", "TTFT"]


@dataclass(frozen=True, slots=True)
class PlannedSlo:
    """Limits on the 95th percentiles of TTFT and ITL, in seconds; None means no limit."""

    ttft_p95_s: float | None = None
    itl_p95_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("ttft_p95_s", "itl_p95_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise SettingsError(f"{name} is {value}; give more than 0 seconds")

    def violated(self, latencies: Latencies) -> Literal["ITL", "TTFT"] | None:
        """The first limit that these latencies exceed; None if they meet both."""
        if self.itl_p95_s is not None and latencies.itl_p95_s > self.itl_p95_s:
            return "ITL"
        if self.ttft_p95_s is not None and latencies.ttft_p95_s > self.ttft_p95_s:
            return "TTFT"
        return None


@dataclass(frozen=True, slots=True)
class FleetDemand:
    """The demand on the fleet, and its planned utilisation.

    Attributes:
        requests_per_s: mean rate; None plans one replica at its capacity.
        utilisation: planned share of the expected throughput. Requests arrive at random: in an
            M/M/1 queue they wait 4 service times at 0.8 and 9 at 0.9 (Kleinrock, Queueing Systems
            vol. 1, section 3.2).
        price_per_gpu_hour: in any currency; None leaves cost out.
    """

    requests_per_s: float | None = None
    utilisation: float = UTILISATION
    price_per_gpu_hour: float | None = None

    def __post_init__(self) -> None:
        if self.requests_per_s is not None and self.requests_per_s <= 0:
            raise SettingsError(
                f"demand is {self.requests_per_s}; give more than 0 requests/s, or leave it out"
            )
        if not 0 < self.utilisation <= 1:
            raise SettingsError(
                f"utilisation is {self.utilisation}; give more than 0 and at most 1"
            )
        if self.price_per_gpu_hour is not None and self.price_per_gpu_hour < 0:
            raise SettingsError(f"price_per_gpu_hour is {self.price_per_gpu_hour}; give 0 or more")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Bounds on any engine on one replica.

    Attributes:
        batch: largest batch by memory, or by the ITL limit of a decoding step.
        tokens_per_s: output tokens a second with that batch.
        itl_s: shortest decoding step with that batch.
        ttft_s: shortest time to first token on an idle replica.
    """

    batch: float
    tokens_per_s: float
    itl_s: float
    ttft_s: float
    binding: Roof


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The planned operation of one replica, with the largest batch within memory and SLO.

    Attributes:
        limited_by: the limit on the batch.
        binding: the part of a step that takes longest.
    """

    batch: int
    tokens_per_s: float
    latencies: Latencies
    limited_by: Limit
    binding: Roof


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """The plan of a fleet.

    Attributes:
        replicas: replicas at the planned utilisation.
        least_gpus: lower bound on the GPUs for the demand with any engine; None without a demand.
        notes: conditions under which the formulas are less reliable.
    """

    replica: PlannedReplica
    slo: PlannedSlo
    load: FleetDemand
    memory: MemoryBudget
    ceiling: Ceiling
    expected: OperatingPoint
    replicas: int
    least_gpus: int | None
    notes: tuple[str, ...] = field(default=())

    @property
    def gpus(self) -> int:
        """Number of GPUs of all replicas."""
        return self.replicas * self.replica.deployment.tensor_parallel

    @property
    def delivered_tokens_per_s(self) -> float:
        """Output tokens a second of the fleet: those of the demand, or the capacity without one."""
        if self.load.requests_per_s is not None:
            return self.load.requests_per_s * self.replica.workload.osl
        return self.replicas * self.expected.tokens_per_s

    @property
    def cost_per_million_tokens(self) -> float | None:
        """Price of a million delivered output tokens; None without a price."""
        if self.load.price_per_gpu_hour is None:
            return None
        per_s = self.gpus * self.load.price_per_gpu_hour / _SECONDS_PER_HOUR
        return per_s / self.delivered_tokens_per_s * _MILLION


def plan(
    replica: PlannedReplica, slo: PlannedSlo | None = None, load: FleetDemand | None = None
) -> CapacityPlan:
    """Plan a fleet of equal replicas.

    Raises:
        SettingsError: if the model does not fit or no batch meets the SLO; says what would fit.
    """
    slo, load = slo or PlannedSlo(), load or FleetDemand()
    memory = replica.memory
    if replica.largest_batch < 1:
        raise SettingsError(_too_large(replica, memory))
    if slo.violated(replica.latencies(1)):
        raise SettingsError(_too_slow(replica, slo))
    expected, ceiling = _expected(replica, slo), _ceiling(replica, slo)
    return CapacityPlan(
        replica=replica,
        slo=slo,
        load=load,
        memory=memory,
        ceiling=ceiling,
        expected=expected,
        replicas=_replicas(load, expected.tokens_per_s * load.utilisation, replica),
        least_gpus=_least_gpus(load, ceiling, replica),
        notes=_notes(replica),
    )


def largest(holds: Callable[[int], bool], most: int) -> int:
    """The largest integer from 1 to `most` for which `holds` is true.

    `holds` must be true for 1, and once it is false it must stay false for larger numbers.
    """
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _expected(replica: PlannedReplica, slo: PlannedSlo) -> OperatingPoint:
    most = replica.largest_batch
    batch = largest(lambda n: slo.violated(replica.latencies(n)) is None, most)
    limit: Limit = "max batch" if most == replica.policy.max_batch else "KV cache"
    if batch < most:
        limit = slo.violated(replica.latencies(batch + 1)) or limit
    return OperatingPoint(
        batch=batch,
        tokens_per_s=replica.throughput(batch),
        latencies=replica.latencies(batch),
        limited_by=limit,
        binding=replica.largest_part(batch),
    )


def _ceiling(replica: PlannedReplica, slo: PlannedSlo) -> Ceiling:
    d, workload = replica.deployment, replica.workload
    most = max(batch_ceiling(d, workload), 1.0)

    def itl_s(batch: float) -> float:
        return decode_roofs(d, batch, workload.mean_context).seconds

    batch, itl = most, slo.itl_p95_s
    if itl is not None and itl_s(most) > itl:
        # One more than the largest integer batch, since a bound must not be rounded down.
        batch = min(most, largest(lambda n: itl_s(n) <= itl, int(most)) + 1.0)
    return Ceiling(
        batch=batch,
        tokens_per_s=throughput_bound(d, workload, batch),
        itl_s=itl_s(batch),
        ttft_s=ttft_bound_s(d, workload.isl),
        binding=step_roofs(d, workload, batch).binding,
    )


def _replicas(load: FleetDemand, tokens_per_s: float, replica: PlannedReplica) -> int:
    if load.requests_per_s is None:
        return 1
    return max(1, math.ceil(load.requests_per_s * replica.workload.osl / tokens_per_s))


def _least_gpus(load: FleetDemand, ceiling: Ceiling, replica: PlannedReplica) -> int | None:
    if load.requests_per_s is None:
        return None
    return _replicas(load, ceiling.tokens_per_s, replica) * replica.deployment.tensor_parallel


def _notes(replica: PlannedReplica) -> tuple[str, ...]:
    notes = []
    model = replica.deployment.model
    width = model.architecture.intermediate_size
    if model.experts > 1 and width is not None and width < _NARROWEST_EXPERT:
        notes.append(
            f"{model.experts} experts of width {width}: published figures of such a model lie two "
            "to four times below what is expected here (docs/gpu-planning.md); the bounds hold"
        )
    return tuple(notes)


def _too_large(replica: PlannedReplica, memory: MemoryBudget) -> str:
    d, workload = replica.deployment, replica.workload
    need = workload.isl + workload.osl
    where = f"{d.model.name} in {d.precision} on {d.tensor_parallel} x {d.gpu.name}"
    if memory.free_bytes <= 0:
        taken = memory.weight_bytes + memory.activation_bytes + memory.reserve_bytes
        problem = (
            f"{where} does not fit: weights {memory.weight_bytes / _GIB:.1f}, activations "
            f"{memory.activation_bytes / _GIB:.1f} and reserve {memory.reserve_bytes / _GIB:.1f} "
            f"GiB make {taken / _GIB:.1f} of {memory.gpu_bytes / _GIB:.1f} GiB a GPU"
        )
    else:
        problem = (
            f"{where} leaves KV cache for {memory.kv_tokens} tokens, and one request of "
            f"isl {workload.isl} and osl {workload.osl} needs {need}"
        )
    return f"{problem}; {what_would(replica, lambda other: other.largest_batch >= 1, 'fit')}"


def _too_slow(replica: PlannedReplica, slo: PlannedSlo) -> str:
    d, alone = replica.deployment, replica.latencies(1)
    which = slo.violated(alone)
    context = replica.workload.mean_context
    asked, expects, bound = (
        (slo.itl_p95_s, alone.itl_p95_s, decode_roofs(d, 1, context).seconds)
        if which == "ITL"
        else (slo.ttft_p95_s, alone.ttft_p95_s, ttft_bound_s(d, replica.workload.isl))
    )

    def fast_enough(other: PlannedReplica) -> bool:
        return other.largest_batch >= 1 and slo.violated(other.latencies(1)) is None

    return (
        f"{d.model.name} in {d.precision} on {d.tensor_parallel} x {d.gpu.name} cannot meet "
        f"{which} p95 of {_ms(asked or 0.0)}: {_ms(expects)} is expected with a single request, "
        f"and {_ms(bound)} is the least that any engine needs; "
        f"{what_would(replica, fast_enough, 'do')}"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
