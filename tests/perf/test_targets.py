from __future__ import annotations

from datetime import UTC, datetime

from enginehouse.perf.campaign import measured_versions
from enginehouse.perf.targets.outcome import TargetFigure, TargetsReport, markdown
from enginehouse.perf.targets.path import from_bench

from enginehouse.host import host_fingerprint


def _outcome(value: float, *, at_least: bool) -> TargetFigure:
    return TargetFigure(
        name="a",
        value=value,
        bound=10,
        at_least=at_least,
        unit="s",
        values=[1, value],
        note="by a clock",
    )


def test_a_target_is_reached_on_its_own_side_of_the_bound() -> None:
    assert _outcome(10, at_least=True).reached
    assert not _outcome(9, at_least=True).reached
    assert _outcome(10, at_least=False).reached
    assert not _outcome(11, at_least=False).reached


def test_the_table_says_what_is_not_reached() -> None:
    report = TargetsReport(
        measured_at=datetime.now(UTC),
        host=host_fingerprint(),
        versions=measured_versions(),
        outcomes=[_outcome(9, at_least=True), _outcome(9, at_least=False)],
    )
    text = markdown(report)
    assert "| a | 9 s | ≥ 10 s | **no** | 1 to 9 |" in text
    assert "| a | 9 s | ≤ 10 s | yes | 1 to 9 |" in text
    assert text.count("- a: by a clock") == 2


def test_ratios_and_cpu_come_from_the_bench() -> None:
    def side(rate: float, cpu: float, tokens: int) -> dict[str, object]:
        return {
            "tokens_per_s_runs": [rate, rate],
            "cpu_seconds": {"adapter": cpu, "triton": cpu, "engine": 9.0},
            "tokens": tokens,
        }

    streams = ("1", "16", "32")
    bench = {
        "ratios": {"path_over_raw": dict.fromkeys(streams, 0.9)},
        "sides": {
            "raw": {n: side(100.0, 0.0, 100) for n in streams},
            "path": {n: side(90.0, 0.1 * int(n), 100 * int(n) ** 2) for n in streams},
        },
    }
    found = {one.name: one for one in from_bench(bench)}
    assert found["whole path / raw pipeline, tokens/s at 1"].reached
    at_16 = found["whole path / raw pipeline, tokens/s at 16"]
    assert (at_16.reached, at_16.values) == (False, [0.9, 0.9])
    # A token at 32 streams costs 1/32 of one at 1.
    assert found["CPU of adapter and Triton a token, at 32 / at 1"].value == round(1 / 32, 3)
