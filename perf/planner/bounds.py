"""Upper bounds on any engine, from memory bandwidth, arithmetic and the link between GPUs.

The roofline model (Williams, Waterman, Patterson, CACM 52(4), 2009, doi 10.1145/1498765.1498785):
work takes at least as long as the slowest part of the machine needs, if all parts run at their peak
at the same time. In a transformer, weights are read once for each step, independent of the batch,
and a token needs two operations for each weight (Pope et al., arXiv 2211.05102, section 2; Kaplan
et al., arXiv 2001.08361, section 2.1).

All times are in seconds and all traffic is in bytes. All rates are those of one replica.

The bounds assume that every output token takes one pass of the whole model (no speculative
decoding), that prompts share no cached prefix, that activations cross the link in 16 bits, and that
the tokens of a mixture are spread evenly over its experts.
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
    """The lengths of requests in tokens; all requests are equal.

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
        """Mean number of tokens in a request's KV cache during decoding."""
        return self.isl + self.osl / 2


@dataclass(frozen=True, slots=True)
class Roofs:
    """Seconds that each part of the machine needs for the same work at its peak."""

    memory_s: float
    arithmetic_s: float
    link_s: float

    @property
    def seconds(self) -> float:
        """The bound: the time of the slowest part."""
        return max(self.memory_s, self.arithmetic_s, self.link_s)

    @property
    def binding(self) -> Roof:
        """The slowest part."""
        parts: dict[Roof, float] = {
            "memory bandwidth": self.memory_s,
            "arithmetic": self.arithmetic_s,
            "link": self.link_s,
        }
        return max(parts, key=parts.__getitem__)


def touched_experts(experts: int, per_token: int, tokens: float) -> float:
    """Expected number of a layer's experts that are used by at least one of `tokens` tokens.

    ``E (1 - (1 - k/E)^tokens)``: a token does not use an expert with probability ``1 - k/E``.
    """
    left_out: float = (1 - per_token / experts) ** tokens
    return experts * (1 - left_out)


def step_weight_bytes(d: Deployment, tokens: float) -> float:
    """Bytes of weights that one step over `tokens` tokens reads, on all GPUs together.

    They are those of all layers and the output layer. The rows of the input embedding are
    neglected.
    """
    experts = touched_experts(d.model.experts, d.model.experts_per_token, tokens)
    return d.model.layer_bytes(d.precision, experts) + d.model.output_bytes(d.precision)


def attention_flops(d: Deployment, context: float) -> float:
    """Operations of the attention of one token over `context` tokens.

    ``4 x layers x heads x head size x context``: one multiplication and one addition for each
    element, for the scores and for the weighted sum.
    """
    a = d.model.architecture
    return 4.0 * a.layers * a.attention_heads * a.head_size * context


def link_bytes(d: Deployment, tokens: float) -> float:
    """Bytes that each GPU must send for `tokens` tokens: two all-reduces for each layer.

    Source: Shoeybi et al., arXiv 1909.08053, section 3. A GPU sends every partial sum at least
    once, even if a switch adds them up. A ring sends ``2 (n - 1) / n`` times as much.
    """
    if d.tensor_parallel == 1:
        return 0.0
    a = d.model.architecture
    return 2.0 * a.layers * tokens * a.hidden_size * _ACTIVATION_BYTES


def decode_roofs(d: Deployment, batch: float, context: float) -> Roofs:
    """One decoding step of `batch` sequences with `context` tokens each; each gets one token.

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
    """The pass over `prompts` complete prompts that generates their first tokens.

    Arithmetic: ``(2 x active weights x ISL + attention + output layer, once) / peak``. Each token
    attends to the tokens before it, ISL/2 on average.
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

    `batch` sequences decode. In the same pass ``batch / OSL`` new prompts are computed, as many as
    requests end. Arithmetic and traffic of both add up; the weights are read once.
    """
    decode = decode_roofs(d, batch, workload.mean_context)
    prefill = prefill_roofs(d, workload.isl, batch / workload.osl)
    return Roofs(
        memory_s=decode.memory_s,
        arithmetic_s=decode.arithmetic_s + prefill.arithmetic_s,
        link_s=decode.link_s + prefill.link_s,
    )


def batch_ceiling(d: Deployment, workload: PlannedWorkload) -> float:
    """Number of sequences of mean length that fit if all memory beside the weights is KV cache.

    An engine that reserves the full length of a request, or memory for anything else, holds fewer.
    The result is below 1 if not even one fits.
    """
    free = d.gpu.memory_bytes - d.weight_bytes_per_gpu
    tokens = max(free, 0.0) * d.kv_shards / d.kv_bytes_per_token
    return tokens / workload.mean_context


def throughput_bound(d: Deployment, workload: PlannedWorkload, batch: float) -> float:
    """Bound on output tokens a second of one replica: ``batch / step``; grows with the batch."""
    return batch / step_roofs(d, workload, batch).seconds


def ttft_bound_s(d: Deployment, isl: int) -> float:
    """Lower bound on the time to first token of one prompt on an idle replica."""
    return prefill_roofs(d, isl).seconds
