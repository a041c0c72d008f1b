from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from enginehouse.perf.capacity.search import LatencyLimits, search
from enginehouse.perf.capacity.sizing import size
from enginehouse.perf.measurement import Figures, LatencyPercentiles

from tests.conftest import RunningStack, call_cli


def _all(value: float) -> LatencyPercentiles:
    return LatencyPercentiles(p50=value, p90=value, p95=value, p99=value, mean=value)


def _figures(ttft: float = 100.0, *, failed: int = 0, late: float = 0.0) -> Figures:
    return Figures(
        requests=20,
        failed=failed,
        duration_s=10,
        tokens=1000,
        prompt_tokens=None,
        tokens_per_s=100,
        requests_per_s=2,
        goodput_per_s=None,
        ttft=_all(ttft),
        inter_token=_all(20.0),
        total=_all(2000.0),
        response_gap=_all(20.0),
        late=_all(late),
        errors={},
    )


@pytest.mark.parametrize("capacity", [0.07, 0.9, 1.0, 3.3, 40.0])
def test_the_highest_rate_that_holds_is_found(capacity: float) -> None:
    limits = LatencyLimits(ttft_p95_ms=500.0, inter_token_p95_ms=None)
    found = search(lambda rate: _figures(100 if rate <= capacity else 900), limits, 1.0)
    assert found.best is not None
    assert capacity / 1.1 <= found.best.rate <= capacity
    # The rate passed twice.
    assert sum(t.rate == found.best.rate and t.broken is None for t in found.trials) == 2


def test_a_rate_that_held_by_luck_gives_way_to_the_next_lower() -> None:
    seen: list[float] = []

    def measure(rate: float) -> Figures:
        lucky = rate == 4.0 and seen.count(rate) == 0
        seen.append(rate)
        return _figures(100 if rate <= 2 or lucky else 900)

    found = search(measure, LatencyLimits(500.0, None), 1.0)
    assert found.best is not None
    assert found.best.rate == 2.0


def test_a_host_that_became_slower_meanwhile_has_the_capacity_that_holds_now() -> None:
    seen: list[float] = []

    def measure(rate: float) -> Figures:
        seen.append(rate)
        fast = len(seen) <= 3
        return _figures(100 if rate <= (4.0 if fast else 0.3) else 900)

    found = search(measure, LatencyLimits(500.0, None), 1.0)
    assert found.best is not None
    assert found.best.rate == 0.25
    assert seen[-2:] == [0.25, 0.25]


def test_where_no_rate_holds_there_is_no_capacity() -> None:
    found = search(lambda _: _figures(900), LatencyLimits(500.0, None), 1.0)
    assert found.best is None
    assert min(trial.rate for trial in found.trials) < 0.001


def test_every_limit_is_named_when_it_breaks() -> None:
    limits = LatencyLimits(ttft_p95_ms=99.0, inter_token_p95_ms=19.0)
    assert "TTFT p95 was 100 ms" in str(limits.broken_by(_figures()))
    assert "inter-token" in str(LatencyLimits(None, 19.0).broken_by(_figures()))
    assert "failed" in str(limits.broken_by(_figures(failed=1)))
    assert "generator was 80 ms late" in str(limits.broken_by(_figures(late=80.0)))
    assert LatencyLimits(100.0, 20.0).broken_by(_figures()) is None
    # With a limit of one second a delay of 80 ms is negligible.
    assert LatencyLimits(1000.0, None).broken_by(_figures(late=80.0)) is None


def test_a_fleet_is_sized_by_the_formulas() -> None:
    # 50 tokens and 2 s a request: at 4 requests/s 8 are in flight and 200 tokens/s come out.
    found = size(4.0, _figures(), demand_per_s=20.0, price_per_hour=0.9, utilisation=0.5)
    assert (found.in_flight, found.tokens_per_s) == (8.0, 200.0)
    assert found.replicas == math.ceil(20 / (0.5 * 4))
    assert found.cost_per_million_tokens == pytest.approx(0.9 / (100 * 3600) * 1e6)
    assert found.scale_out_in_flight == 4.0
    assert found.scale_in_in_flight < found.scale_out_in_flight
    plain = size(4.0, _figures())
    assert (plain.replicas, plain.cost_per_million_tokens) == (None, None)


@pytest.mark.slow(reason="a search: bursts at one rate after the other")
def test_the_command_finds_a_capacity_of_the_real_stack(
    stack: RunningStack, tmp_path: Path
) -> None:
    profile = tmp_path / "short.yaml"
    profile.write_text(
        "name: short\ndescription: d\nmix: [{name: c, input: {mean: 10}, output: {mean: 2}}]\n"
        "load: {kind: request_rate, levels: [32], arrivals: constant, duration_s: 1}\nwarm_up: 1\n"
    )
    done = call_cli(stack.env, "perf", "capacity", "--profile", profile, "--ttft-p95", "3s",
                   "--demand", 100, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["sizing"]["requests_per_s"] > 0
    assert found["sizing"]["replicas"] >= 1
    rates = [trial["rate"] for trial in found["trials"] if trial["broken"] is None]
    assert found["sizing"]["requests_per_s"] in [round(rate, 3) for rate in rates]
    folder = next(stack.settings.reports_dir.glob("capacity-smollm2-1-*"))
    assert "One replica carries" in (folder / "capacity.md").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --ttft-p95"),
        (("--ttft-p95", "1s", "--profile", "standard"), "whose load is request_rate"),
    ],
)
def test_a_search_without_limits_or_rates_is_refused(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = call_cli({"ENGINEHOUSE_HOME": str(tmp_path)}, "perf", "capacity", *options)
    assert done.returncode == 1
    assert said in done.stderr
