"""User-defined metrics from Prometheus: one instant query for each version (`/api/v1/query`)."""

from __future__ import annotations

import httpx
from enginehouse.registry.rollouts.analyse import judge_values
from enginehouse.registry.rollouts.spec import RolloutMetric, RolloutSpec
from enginehouse.registry.rollouts.state import AnalysisResult, RolloutStatus

from enginehouse.tls import tls_context

_TIMEOUT_S = 5.0


class PrometheusQueries:
    """Evaluates a specification's analyses of the metric `prometheus`."""

    def __init__(self, url: str | None) -> None:
        """`url` is Prometheus' base URL; None makes every such analysis an ERROR."""
        self._url = url

    def judge(self, spec: RolloutSpec, status: RolloutStatus) -> tuple[AnalysisResult, ...]:
        """One result for each such analysis."""
        return tuple(
            judge_values(
                analysis,
                self._value(analysis.query or "", status.model, status.champion),
                self._value(analysis.query or "", status.model, status.challenger),
            )
            for analysis in spec.analyses
            if analysis.metric is RolloutMetric.PROMETHEUS
        )

    def _value(self, query: str, model: str, version: int) -> float | None:
        """The query's single value; None if Prometheus does not answer or gives none or several."""
        if self._url is None:
            return None
        filled = query.replace("{model}", model).replace("{version}", str(version))
        try:
            answer = httpx.get(
                f"{self._url}/api/v1/query",
                params={"query": filled},
                timeout=_TIMEOUT_S,
                trust_env=False,
                verify=tls_context(self._url),
            )
            body = answer.json()
        except (httpx.HTTPError, ValueError):
            return None
        found = body.get("data", {}).get("result", []) if body.get("status") == "success" else []
        if len(found) != 1 or found[0].get("value") is None:
            return None
        value = float(found[0]["value"][1])
        return value if value == value else None  # noqa: PLR0124 - NaN is no value
