"""Formulas against values worked out by hand, and against what must hold for all values."""

from __future__ import annotations

import math

import pytest
from enginehouse.perf.planner.bounds import (
    PlannedWorkload,
    attention_flops,
    batch_ceiling,
    decode_roofs,
    link_bytes,
    prefill_roofs,
    step_roofs,
    throughput_bound,
    touched_experts,
    ttft_bound_s,
)
from enginehouse.perf.planner.deployment import Deployment, deploy, precisions_of
from enginehouse.perf.planner.expected import Efficiency, PlannedReplica, poisson_quantile
from enginehouse.perf.planner.gpu import gpus
from enginehouse.perf.planner.memory import MemoryPolicy, memory_budget
from enginehouse.perf.planner.model import catalogue
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from enginehouse.errors import SettingsError

#: Weights of Llama 3.1 8B: 32 layers of 41,943,040 (attention) and 176,160,768 (feed-forward).
_LAYERS = 32 * (41_943_040 + 176_160_768)
_OUTPUT = 128_256 * 4096
_WORKLOADS = st.builds(PlannedWorkload, isl=st.integers(1, 20_000), osl=st.integers(1, 4000))


def _deployment(
    model: str = "llama-3.1-8b", gpu: str = "H100-SXM", precision: str = "bf16", ways: int = 1
) -> Deployment:
    return deploy(catalogue()[model], gpus()[gpu], precision, "auto", ways)


@st.composite
def _deployments(draw: st.DrawFn) -> Deployment:
    model = draw(st.sampled_from(sorted(catalogue())))
    gpu = draw(st.sampled_from(sorted(gpus())))
    precision = draw(st.sampled_from(precisions_of(gpus()[gpu])))
    heads = catalogue()[model].architecture.attention_heads
    kv_heads = catalogue()[model].architecture.kv_heads
    ways = [n for n in range(1, 9) if heads % n == 0 and (kv_heads % n == 0 or n % kv_heads == 0)]
    return _deployment(model, gpu, precision, draw(st.sampled_from(ways)))


@pytest.mark.parametrize(
    ("model", "precision", "expected"),
    [
        ("llama-3.1-8b", "bf16", 2 * 32 * 8 * 128 * 2),  # 131,072
        ("llama-3.1-8b", "fp8", 65_536),
        ("llama-3.1-70b", "bf16", 327_680),
        ("llama-3.1-405b", "fp8", 258_048),
        ("mixtral-8x7b", "bf16", 131_072),
        ("qwen2.5-7b", "bf16", 57_344),
        ("smollm2-135m", "bf16", 23_040),
    ],
)
def test_kv_cache_of_a_token(model: str, precision: str, expected: int) -> None:
    assert _deployment(model, precision=precision).kv_bytes_per_token == expected


def test_weights_of_llama_8b() -> None:
    assert _deployment().weight_bytes_per_gpu == 2 * (_LAYERS + 2 * _OUTPUT)
    # NVIDIA's FP8 checkpoints keep embedding and output layer in 16 bits.
    assert _deployment(precision="fp8").weight_bytes_per_gpu == _LAYERS + 4 * _OUTPUT
    assert _deployment(ways=4).weight_bytes_per_gpu == (_LAYERS + 2 * _OUTPUT) / 2


def test_a_decoding_step_reads_layers_output_layer_and_cache() -> None:
    roofs = decode_roofs(_deployment(), 8, 1000)
    read = 2 * (_LAYERS + _OUTPUT) + 8 * 1000 * 131_072
    assert roofs.memory_s == pytest.approx(read / 3350e9)
    operations = 8 * (2 * (_LAYERS + _OUTPUT) + 4 * 32 * 32 * 128 * 1000)
    assert roofs.arithmetic_s == pytest.approx(operations / 989.4e12)
    assert roofs.link_s == 0
    assert roofs.binding == "memory bandwidth"


def test_one_stream_of_llama_8b_on_an_h100_gets_at_most_223_tokens_a_second() -> None:
    assert throughput_bound(_deployment(), PlannedWorkload(1, 1), 1) == pytest.approx(223, abs=1)


def test_a_prompts_arithmetic_is_two_operations_a_weight_and_token() -> None:
    roofs = prefill_roofs(_deployment(), 2000)
    attention = 4 * 32 * 32 * 128 * 1000 * 2000  # half of the 2,000 tokens, on average
    operations = 2 * _LAYERS * 2000 + attention + 2 * _OUTPUT
    assert roofs.arithmetic_s == pytest.approx(operations / 989.4e12)
    assert roofs.binding == "arithmetic"
    assert ttft_bound_s(_deployment(), 2000) == roofs.arithmetic_s
    # The rule of thumb 2 N ISL / peak lies within a few per cent.
    assert roofs.arithmetic_s == pytest.approx(2 * 6.98e9 * 2000 / 989.4e12, rel=0.05)


def test_a_short_prompt_waits_for_the_weights() -> None:
    assert prefill_roofs(_deployment(), 5).binding == "memory bandwidth"


def test_each_layer_crosses_the_link_twice() -> None:
    assert link_bytes(_deployment("llama-3.1-70b", ways=2), 1) == 2 * 80 * 8192 * 2
    assert link_bytes(_deployment("llama-3.1-70b", ways=1), 1) == 0


def test_on_pcie_the_link_binds() -> None:
    d = _deployment("llama-3.1-70b", "L40S", "fp8", 8)
    assert step_roofs(d, PlannedWorkload(1000, 1000), 256).binding == "link"


def test_a_step_in_steady_state_computes_as_many_prompts_as_end() -> None:
    d, workload = _deployment(), PlannedWorkload(500, 100)
    step, decode = step_roofs(d, workload, 200), decode_roofs(d, 200, 550)
    two_prompts = prefill_roofs(d, 500, 2)
    assert step.memory_s == decode.memory_s
    assert step.arithmetic_s == pytest.approx(decode.arithmetic_s + two_prompts.arithmetic_s)


@pytest.mark.parametrize(("tokens", "expected"), [(1, 2.0), (2, 3.5), (1000, 8.0)])
def test_tokens_spread_over_the_experts(tokens: int, expected: float) -> None:
    assert touched_experts(8, 2, tokens) == pytest.approx(expected)


def test_a_dense_model_has_one_expert() -> None:
    assert touched_experts(1, 1, 1) == touched_experts(1, 1, 9) == 1


def test_one_token_of_a_mixture_reads_only_its_experts() -> None:
    d = _deployment("mixtral-8x7b", precision="bf16")
    read = decode_roofs(d, 1, 0).memory_s * d.gpu.bandwidth_bytes_per_s
    assert read == pytest.approx(2 * (d.model.active_parameters - 32_000 * 4096))


def test_batch_ceiling_takes_all_memory_beside_the_weights() -> None:
    d = _deployment()
    free = 81_559 * 2**20 - d.weight_bytes_per_gpu
    assert batch_ceiling(d, PlannedWorkload(1000, 1000)) == pytest.approx(free / 131_072 / 1500)
    assert batch_ceiling(_deployment("llama-3.1-405b"), PlannedWorkload(1, 1)) == 0


def test_memory_is_divided_as_tensorrt_llm_does_it() -> None:
    d = _deployment()
    budget = memory_budget(d, MemoryPolicy())
    activations = 8192 * 2 * (2 * 14_336 + 4 * 4096)
    free = 81_559 * 2**20 - d.weight_bytes_per_gpu - activations - 2 * 2**30
    assert budget.free_bytes == free
    assert budget.kv_tokens == int(0.9 * free / 131_072)
    assert budget.sequences(PlannedWorkload(1500, 500)) == budget.kv_tokens // 2000


@pytest.mark.parametrize(
    "make",
    [
        lambda: PlannedWorkload(0, 1),
        lambda: PlannedWorkload(1, 0),
        lambda: MemoryPolicy(kv_fraction=0),
        lambda: MemoryPolicy(max_batch=0),
        lambda: Efficiency(memory=1.1),
        lambda: Efficiency(overhead_s=-1),
    ],
)
def test_values_that_mean_nothing_are_refused(make: object) -> None:
    with pytest.raises(SettingsError, match="; give "):
        make()  # type: ignore[operator]


@given(d=_deployments(), workload=_WORKLOADS, batch=st.floats(1, 4000))
def test_nothing_expected_is_better_than_its_bound(
    d: Deployment, workload: PlannedWorkload, batch: float
) -> None:
    replica = PlannedReplica(d, workload)
    assert replica.throughput(batch) < throughput_bound(d, workload, batch)
    latencies = replica.latencies(batch)
    assert latencies.ttft_mean_s > ttft_bound_s(d, workload.isl)
    assert latencies.itl_mean_s > decode_roofs(d, batch, workload.mean_context).seconds
    assert latencies.itl_p95_s >= latencies.itl_mean_s
    assert latencies.ttft_p95_s >= latencies.ttft_mean_s


@given(d=_deployments(), workload=_WORKLOADS)
def test_an_engine_never_holds_more_than_memory_would(
    d: Deployment, workload: PlannedWorkload
) -> None:
    assert PlannedReplica(d, workload).memory.sequences(workload) <= batch_ceiling(d, workload)


@given(d=_deployments(), workload=_WORKLOADS, batch=st.integers(1, 4000))
def test_a_larger_batch_gives_more_tokens_and_each_later(
    d: Deployment, workload: PlannedWorkload, batch: int
) -> None:
    replica = PlannedReplica(d, workload)
    for rate in (replica.throughput, lambda n: throughput_bound(d, workload, n)):
        assert rate(batch + 1) >= rate(batch) * (1 - 1e-12)
    assert replica.latencies(batch + 1).itl_p95_s >= replica.latencies(batch).itl_p95_s
    assert replica.latencies(batch + 1).ttft_p95_s >= replica.latencies(batch).ttft_p95_s


@given(mean=st.floats(1e-3, 2000), share=st.sampled_from([0.5, 0.95, 0.99]))
def test_the_poisson_quantile_is_scipys(mean: float, share: float) -> None:
    ours, scipys = poisson_quantile(mean, share), poisson.ppf(share, mean)
    assert ours == scipys if mean <= 500 else math.isclose(ours, scipys, abs_tol=2)


def test_attention_grows_with_the_context() -> None:
    assert attention_flops(_deployment(), 1) == 4 * 32 * 32 * 128
