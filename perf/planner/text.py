"""Renders a plan as Markdown and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from enginehouse.perf.planner.plan import CapacityPlan

_GIB = 2**30
_CAUTION = (
    "The bound holds for every engine that spends a whole pass on each token; the expected figures "
    "are what published measurements reached of it (docs/gpu-planning.md). Measure before you buy."
)


def markdown(plan: CapacityPlan) -> str:
    """The plan as Markdown: the result, then the assumptions."""
    d, workload = plan.replica.deployment, plan.replica.workload
    about = (
        f"Weights {d.precision}, KV cache {d.kv_precision}, {workload.isl} input and "
        f"{workload.osl} output tokens a request."
    )
    lines = [
        f"# {d.model.name} on {d.gpu.name}",
        "",
        about,
        "",
        *_answer(plan),
        "",
        *_rates(plan),
        "",
        *_memory(plan),
        "",
        _CAUTION,
    ]
    return "\n".join([*lines, *(f"\n**Note**: {note}." for note in plan.notes)])


def as_dict(plan: CapacityPlan) -> dict[str, Any]:
    """The plan as JSON values; the names contain the units."""
    d = plan.replica.deployment
    return {
        "model": d.model.name,
        "parameters": d.model.parameters,
        "active_parameters": d.model.active_parameters,
        "gpu": d.gpu.name,
        "precision": d.precision,
        "kv_precision": d.kv_precision,
        "tensor_parallel": d.tensor_parallel,
        "workload": asdict(plan.replica.workload),
        "slo": asdict(plan.slo),
        "load": asdict(plan.load),
        "efficiency": asdict(plan.replica.efficiency),
        "memory": asdict(plan.memory),
        "kv_bytes_per_token": d.kv_bytes_per_token,
        "bound": asdict(plan.ceiling),
        "expected": asdict(plan.expected),
        "replicas": plan.replicas,
        "gpus": plan.gpus,
        "least_gpus": plan.least_gpus,
        "tokens_per_s_per_gpu": {
            "bound": plan.ceiling.tokens_per_s / d.tensor_parallel,
            "expected": plan.expected.tokens_per_s / d.tensor_parallel,
        },
        "delivered_tokens_per_s": plan.delivered_tokens_per_s,
        "cost_per_million_tokens": plan.cost_per_million_tokens,
        "notes": list(plan.notes),
    }


def _answer(plan: CapacityPlan) -> list[str]:
    d, load = plan.replica.deployment, plan.load
    each = f"of {d.tensor_parallel} GPU" + ("s" if d.tensor_parallel > 1 else "")
    replicas = f"{plan.replicas} replica" + ("s" if plan.replicas > 1 else "")
    sentence = f"**{plan.gpus} x {d.gpu.name}**: {replicas} {each}"
    if load.requests_per_s is not None:
        share = f"{100 * load.utilisation:.0f} % of what is expected"
        sentence += f" for {load.requests_per_s:g} requests/s at {share}"
    if plan.least_gpus is not None and plan.least_gpus > 1:
        sentence += f"; with fewer than {plan.least_gpus} GPUs no engine can carry it"
    if plan.cost_per_million_tokens is not None:
        sentence += f". A million output tokens cost {plan.cost_per_million_tokens:.3g}"
    return [f"{sentence}."]


def _rates(plan: CapacityPlan) -> list[str]:
    d, bound, expected = plan.replica.deployment, plan.ceiling, plan.expected
    osl, ways, latencies = plan.replica.workload.osl, d.tensor_parallel, plan.expected.latencies
    rows = [
        ("requests in flight", f"{bound.batch:,.0f}", f"{expected.batch:,}"),
        ("output tokens/s", f"{bound.tokens_per_s:,.0f}", f"{expected.tokens_per_s:,.0f}"),
        (
            "output tokens/s a GPU",
            f"{bound.tokens_per_s / ways:,.0f}",
            f"{expected.tokens_per_s / ways:,.0f}",
        ),
        (
            "requests/s",
            f"{bound.tokens_per_s / osl:,.2f}",
            f"{expected.tokens_per_s / osl:,.2f}",
        ),
        ("ITL mean", _ms(bound.itl_s), _ms(latencies.itl_mean_s)),
        ("ITL p95", "", _ms(latencies.itl_p95_s)),
        ("TTFT p95, no queue", _ms(bound.ttft_s), _ms(latencies.ttft_p95_s)),
        ("what binds", bound.binding, expected.binding),
        ("what limits the batch", "", expected.limited_by),
    ]
    return [
        "| one replica | bound | expected |",
        "|---|---:|---:|",
        *(f"| {name} | {first} | {second} |" for name, first, second in rows),
    ]


def _memory(plan: CapacityPlan) -> list[str]:
    memory, d = plan.memory, plan.replica.deployment
    rows = [
        ("GPU", memory.gpu_bytes),
        ("weights", memory.weight_bytes),
        ("activations", memory.activation_bytes),
        ("reserve", memory.reserve_bytes),
        ("KV cache", memory.kv_bytes),
    ]
    holds = (
        f"{d.kv_bytes_per_token:,} bytes of KV cache a token, {memory.kv_tokens:,} tokens a "
        f"replica, {memory.sequences(plan.replica.workload):,} requests of full length."
    )
    return [
        "| memory of one GPU | GiB |",
        "|---|---:|",
        *(f"| {name} | {size / _GIB:.1f} |" for name, size in rows),
        "",
        holds,
    ]


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:,.1f} ms" if milliseconds < 100 else f"{milliseconds:,.0f} ms"  # noqa: PLR2004
