"""Records of measured requests, and the figures computed from them.

The definitions are those of NVIDIA's genai-perf and aiperf documentation. TTFT is the time from
sending a request to its first response with a token. Inter-token latency is the time from the first
to the last token, divided by the number of tokens after the first. Goodput counts the requests that
meet every limit of the SLO.
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
    """One request from the client's point of view.

    Attributes:
        due_s: scheduled time in seconds after the start of the run; in a closed loop equal to
            `sent_s`.
        sent_s: time of sending.
        trace: arrival times in seconds after sending; None if it failed.
        prompt_tokens: tokens of the prompt, if known.
        error: the server's message if it failed.
    """

    due_s: float
    sent_s: float
    trace: Trace | None
    prompt_tokens: int | None = None
    error: str | None = None

    @property
    def ended_s(self) -> float:
        """Arrival time of its last token, in seconds after the start of the run."""
        return self.sent_s + (self.trace.arrivals_s[-1] if self.trace else 0.0)


class RequestSlo(BaseModel):
    """Limits that a good request meets; None means no limit.

    Attributes:
        ttft_ms: largest time to first token, in milliseconds.
        inter_token_ms: largest mean time between tokens, in milliseconds.
        total_ms: largest time to the last token, in milliseconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ttft_ms: float | None = None
    inter_token_ms: float | None = None
    total_ms: float | None = None

    def kept_by(self, trace: Trace) -> bool:
        """Whether a request's trace meets every limit."""
        pairs = (
            (self.ttft_ms, trace.first_s),
            (self.inter_token_ms, trace.inter_token_s),
            (self.total_ms, trace.arrivals_s[-1]),
        )
        return all(limit is None or _MS * value <= limit for limit, value in pairs)


class LatencyPercentiles(BaseModel):
    """Percentiles (by linear interpolation) and mean, in milliseconds."""

    p50: float
    p90: float
    p95: float
    p99: float
    mean: float

    @classmethod
    def of(cls, values_s: Sequence[float]) -> LatencyPercentiles:
        """Compute them from seconds; all are 0 if there are no values."""
        values = _MS * np.asarray(values_s or [0.0])
        p50, p90, p95, p99 = (round(float(v), 3) for v in np.percentile(values, (50, 90, 95, 99)))
        return cls(p50=p50, p90=p90, p95=p95, p99=p99, mean=round(float(values.mean()), 3))


class Figures(BaseModel):
    """The figures of one run at one load.

    Attributes:
        requests, failed: number of requests sent, and of those that failed.
        duration_s: time from the first request sent to the last token.
        tokens: total of output tokens.
        tokens_per_s, requests_per_s: of successful requests, over the duration.
        goodput_per_s: requests a second that met the SLO; None without one.
        response_gap: time between responses, which may carry several tokens each.
        late: delay of sending after the scheduled time. If it is large, the generator limits the
            measurement.
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
