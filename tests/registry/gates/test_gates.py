from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from enginehouse.registry.gates import suite
from enginehouse.registry.gates.context import GateContext
from enginehouse.registry.gates.performance import judge
from enginehouse.registry.gates.quality import quality
from enginehouse.registry.rollouts.state import GateResult, Verdict

from enginehouse.bundle import Bundle
from enginehouse.manifest import Quality
from tests.fake_bundle import fake_bundle

_PASSED = Quality(status="passed", perplexity_ratio=1.0, tasks_solved=19, tasks_total=24)


def _with(bundle: Bundle, quality_: Quality | None) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"quality": quality_}))


@pytest.fixture
def context(tmp_path: Path) -> Callable[[Quality | None, Quality | None], GateContext]:
    bundle = fake_bundle(tmp_path / "bundle")

    def make(mine: Quality | None, theirs: Quality | None) -> GateContext:
        return GateContext("m", 2, _with(bundle, mine), 1, _with(bundle, theirs), ())

    return make


@pytest.mark.parametrize(
    ("log_ratios", "verdict"),
    [
        ([0.0, 0.01, -0.01, 0.02] * 3, Verdict.PASS),
        ([0.5, 0.52, 0.48, 0.5] * 3, Verdict.FAIL),
        ([-0.5, -0.4, -0.6, -0.5] * 3, Verdict.PASS),
        ([1.0, -1.0, 0.9, -0.9] * 2, Verdict.INCONCLUSIVE),
    ],
)
def test_performance_is_judged_by_the_interval_of_the_ratio(
    log_ratios: list[float], verdict: Verdict
) -> None:
    for metrics in ({"total": log_ratios}, {"total": [0.0, 0.01] * 8, "ttft": log_ratios}):
        result = judge(metrics)
        assert result.verdict is verdict
        assert result.numbers["pairs"] == len(log_ratios)
        assert "times the champion's time" in result.reason


@pytest.mark.parametrize(
    ("mine", "verdict", "said"),
    [
        (_PASSED, Verdict.PASS, "not worse than the champion"),
        (None, Verdict.INCONCLUSIVE, "not measured"),
        (Quality(status="not_measured", accepted_reason="x"), Verdict.INCONCLUSIVE, "not measured"),
        (Quality(status="accepted", accepted_reason="a demo"), Verdict.FAIL, "a demo"),
        (
            _PASSED.model_copy(update={"perplexity_ratio": 1.06}),
            Verdict.FAIL,
            "perplexity is 1.060 times the champion's",
        ),
    ],
)
def test_quality_is_held_against_thresholds_and_the_champion(
    context: Callable[[Quality | None, Quality | None], GateContext],
    mine: Quality | None,
    verdict: Verdict,
    said: str,
) -> None:
    result = quality(context(mine, _PASSED))
    assert result.verdict is verdict
    assert said in result.reason


def _gate(name: str, verdict: Verdict) -> GateResult:
    return GateResult(name=name, verdict=verdict, reason="because")


def test_an_override_is_kept_with_who_and_why_and_never_lifts_integrity() -> None:
    results = (
        _gate("integrity", Verdict.FAIL),
        _gate("fingerprint", Verdict.FAIL),
        _gate("performance", Verdict.INCONCLUSIVE),
        _gate("smoke", Verdict.PASS),
    )
    overrides = dict.fromkeys(("integrity", "fingerprint", "performance", "smoke"), "a demo")
    integrity, fingerprint, performance, smoke = suite.with_overrides(results, overrides, "ada")
    assert not integrity.passed
    assert not fingerprint.passed
    assert performance.passed
    assert (performance.overridden_by, performance.override_reason) == ("ada", "a demo")
    assert performance.verdict is Verdict.INCONCLUSIVE
    assert smoke.overridden_by is None


class _Entry:
    """An entry point of a package that a user installed."""

    def __init__(self, name: str, gate: Callable[[GateContext], GateResult]) -> None:
        self.name = name
        self._gate = gate

    def load(self) -> Callable[[GateContext], GateResult]:
        return self._gate


def test_a_gate_of_the_users_own_is_asked_and_one_that_raises_is_an_error(
    context: Callable[[Quality | None, Quality | None], GateContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: GateContext) -> GateResult:
        raise KeyError("licence")

    entries: list[Any] = [
        _Entry("licence", lambda c: _gate("anything", Verdict.PASS)),
        _Entry("broken", broken),
    ]
    monkeypatch.setattr(suite, "_user_gates", lambda: entries)
    monkeypatch.setattr(suite, "smoke", lambda _: _gate("smoke", Verdict.PASS))
    monkeypatch.setattr(suite, "performance", lambda _: _gate("performance", Verdict.PASS))
    results = suite.run_gates(context(_PASSED, _PASSED), served_before=False)
    found = {result.name: result for result in results}
    assert found["licence"].verdict is Verdict.PASS
    assert found["broken"].verdict is Verdict.ERROR
    assert "KeyError" in found["broken"].reason
    served = suite.run_gates(context(_PASSED, _PASSED), served_before=True)
    assert [result.name for result in served] == ["smoke"]
