"""What no engine can exceed: pure formulas of bandwidth, arithmetic and the link between GPUs.

The roofline model (Williams, Waterman, Patterson, CACM 52(4), 2009, doi 10.1145/1498765.1498785):
work takes at least as long as the slowest of the machine's parts needs for its share, every part
running at its peak and all at once. For transformers, weights are read once a step whatever the
batch, and a token costs two operations a weight (Pope et al., arXiv 2211.05102, section 2;
Kaplan et al., arXiv 2001.08361, section 2.1).

All times are seconds, all traffic bytes, all rates of one replica.

What the bounds assume, and would be wrong without: every output token takes one pass of the
whole model (no speculative decoding), prompts share no cached prefix, activations cross the link
in 16 bits, and the tokens of a mixture spread evenly over its experts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enginehouse.perf.planner.deployment import Deployment

from enginehouse.errors import SettingsError

Roof = Literal["memory bandwidth", "arithmetic", "link"]
_ACTIVATION_BYTES = 2


@dataclass(frozen=True, slots=True)
class PlannedWorkload:
    """Lengths of requests, in tokens; all alike.

    Attributes:
        isl: input sequence length.
        osl: output sequence length.
    """

    isl: int
    osl: int

    def __post_init__(self) -> None:
        for name in ("isl", "osl"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; give 1 token or more")

    @property
    def mean_context(self) -> float:
        """Tokens of KV cache that a request holds, on average over its decoding."""
        return self.isl + self.osl / 2


@dataclass(frozen=True, slots=True)
class Roofs:
    """Seconds that each part of the machine needs at its peak for the same work."""

    memory_s: float
    arithmetic_s: float
    link_s: float

    @property
    def seconds(self) -> float:
        """The bound: the slowest part, the others hidden behind it."""
        return max(self.memory_s, self.arithmetic_s, self.link_s)

    @property
    def binding(self) -> Roof:
        """Which part that is."""
        parts: dict[Roof, float] = {
            "memory bandwidth": self.memory_s,
            "arithmetic": self.arithmetic_s,
            "link": self.link_s,
        }
        return max(parts, key=parts.__getitem__)


def touched_experts(experts: int, per_token: int, tokens: float) -> float:
    """Experts of a layer that at least one of `tokens` tokens passes through, on average.

    ``E (1 - (1 - k/E)^tokens)``: each token leaves an expert out with chance ``1 - k/E``.
    """
    left_out: float = (1 - per_token / experts) ** tokens
    return experts * (1 - left_out)


def step_weight_bytes(d: Deployment, tokens: float) -> float:
    """Weights that one step over `tokens` tokens reads, on all GPUs together.

    All layers and the output layer; of the input embedding only single rows, not counted.
    """
    experts = touched_experts(d.model.experts, d.model.experts_per_token, tokens)
    return d.model.layer_bytes(d.precision, experts) + d.model.output_bytes(d.precision)


def attention_flops(d: Deployment, context: float) -> float:
    """Operations of one token's attention over `context` tokens.

    ``4 x layers x heads x head size x context``: a multiplication and an addition for each
    element, once for the scores and once for the weighted sum.
    """
    a = d.model.architecture
    return 4.0 * a.layers * a.attention_heads * a.head_size * context


def link_bytes(d: Deployment, tokens: float) -> float:
    """Bytes that each GPU must send for `tokens` tokens: two all-reduces a layer.

    Source: Shoeybi et al., arXiv 1909.08053, section 3. A GPU sends every partial sum at least
    once, also where a switch adds them up; a ring sends ``2 (n - 1) / n`` times as much.
    """
    if d.tensor_parallel == 1:
        return 0.0
    a = d.model.architecture
    return 2.0 * a.layers * tokens * a.hidden_size * _ACTIVATION_BYTES


def decode_roofs(d: Deployment, batch: float, context: float) -> Roofs:
    """One decoding step: `batch` sequences get one token each, over `context` tokens each.

    Memory: ``(weights + batch x context x KV bytes a token) / bandwidth``. Arithmetic:
    ``batch x (2 x active weights + attention) / peak``.
    """
    weights = step_weight_bytes(d, batch) / d.tensor_parallel
    cache = batch * context * d.kv_bytes_per_token / d.kv_shards
    per_token = 2.0 * (d.model.active_layer_parameters + d.model.output_parameters)
    return Roofs(
        memory_s=(weights + cache) / d.gpu.bandwidth_bytes_per_s,
        arithmetic_s=batch * (per_token + attention_flops(d, context)) / d.peak_flops_per_s,
        link_s=link_bytes(d, batch) / d.gpu.link_bytes_per_s,
    )


def prefill_roofs(d: Deployment, isl: int, prompts: float = 1.0) -> Roofs:
    """The pass over `prompts` whole prompts, up to their first tokens.

    Arithmetic: ``(2 x active weights x ISL + attention + output layer, once) / peak``; each token
    attends to those before it, ISL/2 on average.
    """
    per_prompt = (
        2.0 * d.model.active_layer_parameters * isl
        + attention_flops(d, isl / 2) * isl
        + 2.0 * d.model.output_parameters
    )
    weights = step_weight_bytes(d, isl * prompts) / d.tensor_parallel
    return Roofs(
        memory_s=weights / d.gpu.bandwidth_bytes_per_s,
        arithmetic_s=prompts * per_prompt / d.peak_flops_per_s,
        link_s=link_bytes(d, isl * prompts) / d.gpu.link_bytes_per_s,
    )


def step_roofs(d: Deployment, workload: PlannedWorkload, batch: float) -> Roofs:
    """One step of in-flight batching in steady state.

    `batch` sequences decode, and ``batch / OSL`` new prompts, as many as end, are computed in the
    same pass: their arithmetic and traffic add up, the weights are read once.
    """
    decode = decode_roofs(d, batch, workload.mean_context)
    prefill = prefill_roofs(d, workload.isl, batch / workload.osl)
    return Roofs(
        memory_s=decode.memory_s,
        arithmetic_s=decode.arithmetic_s + prefill.arithmetic_s,
        link_s=decode.link_s + prefill.link_s,
    )


def batch_ceiling(d: Deployment, workload: PlannedWorkload) -> float:
    """Sequences that fit if all memory beside the weights were KV cache, at their mean length.

    An engine that reserves a request's full length, or keeps memory for anything else, holds
    fewer. Below 1 when not even one fits.
    """
    free = d.gpu.memory_bytes - d.weight_bytes_per_gpu
    tokens = max(free, 0.0) * d.kv_shards / d.kv_bytes_per_token
    return tokens / workload.mean_context


def throughput_bound(d: Deployment, workload: PlannedWorkload, batch: float) -> float:
    """Output tokens a second of one replica at a batch: ``batch / step``; grows with the batch."""
    return batch / step_roofs(d, workload, batch).seconds


def ttft_bound_s(d: Deployment, isl: int) -> float:
    """Least time to the first token of one prompt on an idle replica."""
    return prefill_roofs(d, isl).seconds
