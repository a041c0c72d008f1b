"""What was measured of requests, and the figures that follow from it.

The definitions are those of NVIDIA's genai-perf and aiperf documentation: TTFT is the time from
sending a request to its first response with a token; inter-token latency is the time from there
to the last token, divided by the tokens after the first; goodput counts the requests that keep
every limit of the SLO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from enginehouse.perf.workload import Trace
from pydantic import BaseModel, ConfigDict

_MS = 1000.0


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as its client saw it.

    Attributes:
        due_s: when the schedule wanted it sent, in seconds after the run began; what is sent as
            soon as another ends is due when it is sent.
        sent_s: when it was sent.
        trace: arrivals in seconds after it was sent; None if it failed.
        prompt_tokens: of the prompt as the engine saw it, where that is known.
        error: why it failed, in the server's words.
    """

    due_s: float
    sent_s: float
    trace: Trace | None
    prompt_tokens: int | None = None
    error: str | None = None

    @property
    def ended_s(self) -> float:
        """When its last token came, in seconds after the run began."""
        return self.sent_s + (self.trace.arrivals_s[-1] if self.trace else 0.0)


class RequestSlo(BaseModel):
    """Limits that a good request keeps; a limit that is None always holds.

    Attributes:
        ttft_ms: most milliseconds to the first token.
        inter_token_ms: most milliseconds between tokens, on average over the request.
        total_ms: most milliseconds to the last token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ttft_ms: float | None = None
    inter_token_ms: float | None = None
    total_ms: float | None = None

    def kept_by(self, trace: Trace) -> bool:
        """Whether a request's trace keeps every limit."""
        pairs = (
            (self.ttft_ms, trace.first_s),
            (self.inter_token_ms, trace.inter_token_s),
            (self.total_ms, trace.arrivals_s[-1]),
        )
        return all(limit is None or _MS * value <= limit for limit, value in pairs)


class LatencyPercentiles(BaseModel):
    """Milliseconds: percentiles by linear interpolation, and the mean."""

    p50: float
    p90: float
    p95: float
    p99: float
    mean: float

    @classmethod
    def of(cls, values_s: Sequence[float]) -> LatencyPercentiles:
        """Of seconds; all zero if there are none."""
        values = _MS * np.asarray(values_s or [0.0])
        p50, p90, p95, p99 = (round(float(v), 3) for v in np.percentile(values, (50, 90, 95, 99)))
        return cls(p50=p50, p90=p90, p95=p95, p99=p99, mean=round(float(values.mean()), 3))


class Figures(BaseModel):
    """One run at one load.

    Attributes:
        requests, failed: how many were sent, and how many of them failed.
        duration_s: from the first request sent to the last token.
        tokens: output tokens in all.
        tokens_per_s, requests_per_s: of what did not fail, over the duration.
        goodput_per_s: requests a second that kept the SLO; None without one.
        late_ms: how long after its time the generator sent a request; a measurement whose
            generator was late is the generator's, not the server's.
        response_gap: between responses, however many tokens each carried.
    """

    requests: int
    failed: int
    duration_s: float
    tokens: int
    prompt_tokens: int | None
    tokens_per_s: float
    requests_per_s: float
    goodput_per_s: float | None
    ttft: LatencyPercentiles
    inter_token: LatencyPercentiles
    total: LatencyPercentiles
    response_gap: LatencyPercentiles
    late: LatencyPercentiles
    errors: dict[str, int]


def figures_of(records: Sequence[RequestRecord], slo: RequestSlo | None = None) -> Figures:
    """The figures of one run.

    Raises:
        ValueError: if there is no record.
    """
    if not records:
        raise ValueError("no request was recorded")
    traces = [record.trace for record in records if record.trace is not None]
    began = min(record.sent_s for record in records)
    duration = max(max(record.ended_s for record in records) - began, 1e-9)
    tokens = sum(trace.tokens for trace in traces)
    prompts = [record.prompt_tokens for record in records]
    known = [count for count in prompts if count is not None]
    errors: dict[str, int] = {}
    for record in records:
        if record.error is not None:
            errors[record.error] = errors.get(record.error, 0) + 1
    good = None if slo is None else sum(slo.kept_by(trace) for trace in traces) / duration
    return Figures(
        requests=len(records),
        failed=len(records) - len(traces),
        duration_s=round(duration, 4),
        tokens=tokens,
        prompt_tokens=sum(known) if len(known) == len(prompts) else None,
        tokens_per_s=round(tokens / duration, 2),
        requests_per_s=round(len(traces) / duration, 3),
        goodput_per_s=None if good is None else round(good, 3),
        ttft=LatencyPercentiles.of([trace.first_s for trace in traces]),
        inter_token=LatencyPercentiles.of([t.inter_token_s for t in traces if t.tokens > 1]),
        total=LatencyPercentiles.of([trace.arrivals_s[-1] for trace in traces]),
        response_gap=LatencyPercentiles.of([gap for trace in traces for gap in trace.gaps_s]),
        late=LatencyPercentiles.of([max(0.0, r.sent_s - r.due_s) for r in records]),
        errors=errors,
    )
