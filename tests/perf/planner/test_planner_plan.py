"""Plans: batch, replicas, cost, and refusals that say what would do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import typer
from enginehouse.cli.durations import latency_s
from enginehouse.cli.perf_plan import plan as plan_on_paper
from enginehouse.perf.planner.bounds import PlannedWorkload
from enginehouse.perf.planner.deployment import deploy
from enginehouse.perf.planner.expected import PlannedReplica
from enginehouse.perf.planner.gpu import gpus
from enginehouse.perf.planner.memory import MemoryPolicy
from enginehouse.perf.planner.model import catalogue
from enginehouse.perf.planner.plan import FleetDemand, PlannedSlo, largest, plan
from enginehouse.perf.planner.text import as_dict, markdown
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from enginehouse.errors import SettingsError

_CHAT = PlannedWorkload(1000, 200)


def _replica(
    model: str = "llama-3.1-8b",
    gpu: str = "H100-SXM",
    precision: str = "fp8",
    ways: int = 1,
    workload: PlannedWorkload = _CHAT,
) -> PlannedReplica:
    return PlannedReplica(
        deploy(catalogue()[model], gpus()[gpu], precision, "auto", ways), workload
    )


def test_without_an_slo_memory_or_the_engine_limits_the_batch() -> None:
    answer = plan(_replica(workload=PlannedWorkload(1000, 1000)))
    assert answer.expected.limited_by == "KV cache"
    assert answer.expected.batch == answer.memory.kv_tokens // 2000
    small = replace(_replica(), policy=MemoryPolicy(max_batch=16))
    assert (plan(small).expected.batch, plan(small).expected.limited_by) == (16, "max batch")
    assert (answer.replicas, answer.gpus, answer.least_gpus) == (1, 1, None)


@pytest.mark.parametrize(
    ("slo", "limit"),
    [
        (PlannedSlo(itl_p95_s=0.03), "ITL"),
        (PlannedSlo(ttft_p95_s=0.1), "TTFT"),
        (PlannedSlo(0.05, 0.05), "TTFT"),
    ],
)
def test_the_batch_is_the_largest_that_keeps_the_slo(slo: PlannedSlo, limit: str) -> None:
    replica = _replica()
    answer = plan(replica, slo)
    assert answer.expected.limited_by == limit
    assert slo.violated(answer.expected.latencies) is None
    assert slo.violated(replica.latencies(answer.expected.batch + 1)) == limit
    assert answer.expected.batch < plan(replica).expected.batch


def test_replicas_carry_the_demand_at_their_utilisation() -> None:
    alone = plan(_replica(ways=2))
    rate = alone.expected.tokens_per_s / _CHAT.osl
    load = FleetDemand(requests_per_s=2.5 * rate, utilisation=0.8, price_per_gpu_hour=3.6)
    answer = plan(_replica(ways=2), load=load)
    assert (answer.replicas, answer.gpus) == (4, 8)  # 2.5 / 0.8 = 3.1
    assert answer.delivered_tokens_per_s == pytest.approx(2.5 * rate * _CHAT.osl)
    # 8 GPUs at 3.60 an hour are 0.008 a second.
    cost = 0.008 / answer.delivered_tokens_per_s * 1e6
    assert answer.cost_per_million_tokens == pytest.approx(cost)
    assert answer.least_gpus is not None
    assert answer.least_gpus <= answer.gpus


def test_without_a_demand_cost_is_that_of_a_full_replica() -> None:
    answer = plan(_replica(), load=FleetDemand(price_per_gpu_hour=3.6))
    assert answer.cost_per_million_tokens == pytest.approx(
        3.6 / 3600 / answer.expected.tokens_per_s * 1e6
    )
    assert plan(_replica()).cost_per_million_tokens is None


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    with pytest.raises(SettingsError) as refusal:
        plan(_replica("llama-3.1-70b", precision="bf16"))
    assert str(refusal.value) == (
        "llama-3.1-70b in bf16 on 1 x H100-SXM does not fit: weights 131.4, activations 1.4 and "
        "reserve 2.0 GiB make 134.8 of 79.6 GiB a GPU; what would fit: 2 x H100-SXM; "
        "1 x H100-SXM in fp8; 2 x A100-80GB; 1 x H200"
    )
    plan(_replica("llama-3.1-70b", precision="bf16", ways=2))
    plan(_replica("llama-3.1-70b", precision="fp8"))


def test_a_request_too_long_for_the_cache_is_refused_with_both_lengths() -> None:
    with pytest.raises(SettingsError, match=r"KV cache for 35755 tokens, .* needs 124000; what "):
        plan(_replica(gpu="L4", precision="bf16", workload=PlannedWorkload(120_000, 4000)))


def test_an_slo_that_one_request_misses_is_refused_with_bound_and_way_out() -> None:
    replica = _replica("llama-3.1-70b", ways=2)
    with pytest.raises(SettingsError, match=r"ITL p95 of 9 ms: .* least that any .* 4 x H100-SXM"):
        plan(replica, PlannedSlo(itl_p95_s=0.009))
    plan(_replica("llama-3.1-70b", ways=4), PlannedSlo(itl_p95_s=0.009))
    with pytest.raises(SettingsError, match=r"TTFT p95 of 0.1 ms: .* a looser SLO"):
        plan(replica, PlannedSlo(ttft_p95_s=0.0001))


@pytest.mark.parametrize(
    "make",
    [
        lambda: PlannedSlo(ttft_p95_s=0),
        lambda: PlannedSlo(itl_p95_s=-1),
        lambda: FleetDemand(requests_per_s=0),
        lambda: FleetDemand(utilisation=0),
        lambda: FleetDemand(utilisation=1.1),
        lambda: FleetDemand(price_per_gpu_hour=-1),
    ],
)
def test_questions_that_mean_nothing_are_refused(make: object) -> None:
    with pytest.raises(SettingsError, match=r" is .*; give "):
        make()  # type: ignore[operator]


@given(
    model=st.sampled_from(["llama-3.1-8b", "qwen2.5-7b", "mixtral-8x7b", "smollm2-135m"]),
    gpu=st.sampled_from(["H100-SXM", "H200", "L40S", "B200"]),
    workload=st.builds(PlannedWorkload, isl=st.integers(1, 8000), osl=st.integers(1, 2000)),
    ttft_ms=st.none() | st.integers(20, 2000),
    itl_ms=st.none() | st.integers(5, 100),
)
def test_no_plan_expects_more_than_its_bound(
    model: str, gpu: str, workload: PlannedWorkload, ttft_ms: int | None, itl_ms: int | None
) -> None:
    slo = PlannedSlo(ttft_ms and ttft_ms / 1000, itl_ms and itl_ms / 1000)
    try:
        answer = plan(_replica(model, gpu, workload=workload), slo)
    except SettingsError:
        return
    assert answer.expected.batch <= answer.ceiling.batch
    assert answer.expected.tokens_per_s < answer.ceiling.tokens_per_s
    assert answer.expected.latencies.ttft_p95_s > answer.ceiling.ttft_s


@given(most=st.integers(1, 5000), limit=st.integers(1, 5000))
def test_largest_finds_the_last_that_holds(most: int, limit: int) -> None:
    assert largest(lambda n: n <= limit, most) == min(most, limit)


def test_a_mixture_of_narrow_experts_is_planned_with_a_warning() -> None:
    answer = plan(_replica("qwen3-30b-a3b", "H200"))
    assert "128 experts of width 768" in answer.notes[0]
    assert "**Note**: 128 experts" in markdown(answer)
    assert plan(_replica("mixtral-8x7b")).notes == ()
    assert plan(_replica("qwen3-235b-a22b", "H200", ways=8)).notes == ()


def test_text_and_json_say_the_same() -> None:
    load = FleetDemand(requests_per_s=40, price_per_gpu_hour=3)
    answer = plan(_replica(), PlannedSlo(0.5, 0.03), load)
    data = json.loads(json.dumps(as_dict(answer)))
    text = markdown(answer)
    assert f"**{data['gpus']} x H100-SXM**" in text
    assert f"{data['expected']['tokens_per_s']:,.0f}" in text
    assert f"| ITL p95 |  | {1000 * data['expected']['latencies']['itl_p95_s']:.1f} ms |" in text
    assert data["kv_bytes_per_token"] == 65_536
    assert data["least_gpus"] == answer.least_gpus == 1
    assert "no engine" not in text
    many = plan(_replica(), load=FleetDemand(requests_per_s=4000))
    assert f"with fewer than {many.least_gpus} GPUs no engine can carry it" in markdown(many)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("1.5s", 1.5), ("2m", 120.0), (" 12.5ms ", 0.0125)]
)
def test_latencies_are_written_with_their_unit(text: str, seconds: float) -> None:
    assert latency_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "ms", "-1ms", "1e3ms", "fast"])
def test_a_latency_without_one_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="as in 500ms"):
        latency_s(text)


def test_the_command_answers_in_json_and_in_text() -> None:
    app = typer.Typer()
    app.command()(plan_on_paper)
    asked = "--model llama-3.1-8b --gpu h100-sxm --precision fp8 --isl 1000 --osl 200"
    limits = "--ttft-p95 500ms --itl-p95 30ms --demand 40 --gpu-hour-price 3"
    done = CliRunner().invoke(app, [*asked.split(), *limits.split(), "--json"])
    assert done.exit_code == 0, done.output
    answer = plan(_replica(), PlannedSlo(0.5, 0.03), FleetDemand(40, price_per_gpu_hour=3))
    assert json.loads(done.stdout) == json.loads(json.dumps(as_dict(answer)))
    shown = CliRunner().invoke(app, asked.split())
    assert "1 x H100-SXM" in shown.output
    refused = CliRunner().invoke(app, [*asked.split(), "--ttft-p95", "5"])
    assert refused.exit_code == 2
