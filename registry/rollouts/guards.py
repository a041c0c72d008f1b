"""Guards: limits that abort a rollout immediately, checked on the challenger's newest requests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from enginehouse.registry.rollouts.spec import Guards
from enginehouse.registry.rollouts.state import GuardResult

from enginehouse.traffic.samples import Outcome, RequestSample

#: The p99 guards use the last 200 requests, and are not evaluated below 50.
PERCENTILE_WINDOW = 200
PERCENTILE_LEAST = 50


def check_guards(
    guards: Guards, newest: Sequence[RequestSample], crashes: int = 0
) -> tuple[GuardResult, ...]:
    """Return the guards that tripped; empty if none did.

    Shadow copies count, because a shadow step has no other requests. Requests that named their
    version do not count, so that one caller cannot abort a rollout.

    Args:
        newest: the challenger's requests, oldest first; `PERCENTILE_WINDOW` or more.
        crashes: how often its engine died or stopped answering during this rollout.
    """
    told = [s for s in newest if s.judged]
    found = [
        _crashes(guards, crashes),
        _burst(guards, told),
        _ceiling("ttft_p99", guards.ttft_p99_s, [s.ttft_s for s in _ok(told)]),
        _ceiling("total_p99", guards.total_p99_s, [s.total_s for s in _ok(told)]),
    ]
    return tuple(result for result in found if result is not None)


def _ok(samples: Sequence[RequestSample]) -> list[RequestSample]:
    return [s for s in samples[-PERCENTILE_WINDOW:] if s.outcome is Outcome.OK]


def _crashes(guards: Guards, crashes: int) -> GuardResult | None:
    if crashes < guards.crashes:
        return None
    reason = f"the engine died or stopped answering {crashes} times, {guards.crashes} abort"
    return GuardResult(name="crashes", reason=reason)


def _burst(guards: Guards, samples: Sequence[RequestSample]) -> GuardResult | None:
    window = samples[-guards.error_window :]
    errors = sum(s.outcome is Outcome.ERROR for s in window)
    if errors < guards.error_burst:
        return None
    reason = f"{errors} of the last {len(window)} requests failed, {guards.error_burst} abort"
    return GuardResult(name="error_burst", reason=reason)


def _ceiling(
    name: str, limit_s: float | None, values_s: Sequence[float | None]
) -> GuardResult | None:
    points = [value for value in values_s if value is not None]
    if limit_s is None or len(points) < PERCENTILE_LEAST:
        return None
    p99_s = float(np.quantile(points, 0.99))
    if p99_s <= limit_s:
        return None
    reason = f"p99 of the last {len(points)} is {p99_s:.3g} s, the ceiling {limit_s:g} s"
    return GuardResult(name=name, reason=reason)
