from __future__ import annotations

import pytest
from enginehouse.perf.measurement import LatencyPercentiles, RequestRecord, RequestSlo, figures_of
from enginehouse.perf.workload import Trace


def _record(sent: float, *arrivals: float, tokens: int | None = None) -> RequestRecord:
    return RequestRecord(sent, sent, Trace(arrivals, tokens or len(arrivals)), 10)


def test_figures_are_those_of_the_definitions() -> None:
    records = [_record(0.0, 0.1, 0.2, 0.3), _record(1.0, 0.2, 0.6, tokens=5)]
    found = figures_of(records, RequestSlo(ttft_ms=150, inter_token_ms=200))
    assert found.duration_s == pytest.approx(1.6)
    assert found.tokens == 8
    assert found.prompt_tokens == 20
    assert found.tokens_per_s == pytest.approx(8 / 1.6, rel=0.01)
    assert found.ttft.p50 == pytest.approx(150.0)
    # 100 ms over two gaps, and 400 ms over the four tokens after the first.
    assert found.inter_token.mean == pytest.approx(100.0)
    assert found.total.p50 == pytest.approx(450.0)
    assert found.goodput_per_s == pytest.approx(1 / 1.6, rel=0.01)
    assert found.late.p99 == 0.0


def test_failures_are_counted_by_their_words_and_spoil_no_figure() -> None:
    failed = RequestRecord(0.5, 0.7, None, error="the engine is full")
    found = figures_of([_record(0.0, 0.1, 0.2), failed, failed])
    assert (found.requests, found.failed) == (3, 2)
    assert found.errors == {"the engine is full": 2}
    assert found.ttft.p50 == pytest.approx(100.0)
    assert found.late.p95 == pytest.approx(200.0)
    assert found.goodput_per_s is None


def test_only_failures_give_zeros_and_no_records_are_refused() -> None:
    found = figures_of([RequestRecord(0.0, 0.0, None, error="no")])
    assert found.tokens_per_s == 0
    assert found.ttft == LatencyPercentiles(p50=0, p90=0, p95=0, p99=0, mean=0)
    with pytest.raises(ValueError, match="no request"):
        figures_of([])


@pytest.mark.parametrize(
    ("slo", "kept"),
    [
        (RequestSlo(), True),
        (RequestSlo(ttft_ms=100), True),
        (RequestSlo(ttft_ms=99), False),
        (RequestSlo(inter_token_ms=40), False),
        (RequestSlo(total_ms=250), False),
        (RequestSlo(ttft_ms=100, inter_token_ms=50, total_ms=300), True),
    ],
)
def test_an_slo_is_kept_when_every_limit_is(slo: RequestSlo, kept: bool) -> None:  # noqa: FBT001
    assert slo.kept_by(Trace([0.1, 0.2, 0.3], 5)) is kept
