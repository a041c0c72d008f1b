"""Observes a rollout for the controller: readiness, samples, analyses, guards."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from enginehouse.registry.controller.collector import SampleCollector
from enginehouse.registry.controller.fleet import FleetView
from enginehouse.registry.controller.prometheus import PrometheusQueries
from enginehouse.registry.rollouts.analyse import analyse, look_due
from enginehouse.registry.rollouts.guards import check_guards
from enginehouse.registry.rollouts.spec import RolloutMetric, RolloutSpec, RolloutStep
from enginehouse.registry.rollouts.state import (
    AnalysisResult,
    Observation,
    Phase,
    RolloutStatus,
    Verdict,
)

from enginehouse.traffic import RequestSample

_WHOLE = 100
_GUARDED = 400


@dataclass(slots=True)
class _Look:
    """One run of the analyses; `mark` is of the status for which it was started."""

    mark: str
    running: Future[tuple[AnalysisResult, ...]]


class Watch:
    """Observes one rollout; its memory is not needed after a restart."""

    def __init__(
        self,
        fleet: FleetView,
        collector: SampleCollector,
        prometheus: PrometheusQueries,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._fleet = fleet
        self._collector = collector
        self._prometheus = prometheus
        self._pool = pool
        self._look: _Look | None = None
        self._last: tuple[str, int] = ("", 0)
        self._crashes_before: tuple[str, int] = ("", 0)

    def observe(self, spec: RolloutSpec, status: RolloutStatus) -> Observation:
        """Everything that `decide` needs, except gates and commands."""
        model = status.model
        champion = self._fleet.ready_somewhere(model, status.champion)
        challenger = self._fleet.ready_everywhere(model, status.challenger)
        base = Observation(
            champion_ready=champion,
            challenger_ready=challenger,
            serving=self._fleet.serving(model),
        )
        crashes = self._crashes(status)
        if status.phase is Phase.PREPARING:
            return base
        everything = self._collector.samples(status.id, status.challenger, status.started_at)
        guards = check_guards(spec.guards, everything[-_GUARDED:], crashes)
        step = spec.steps[status.step]
        mine = _of_step(everything, status, shadow=step.weight == 0)
        results = self._analyses(spec, status, step, mine)
        return base.model_copy(
            update={
                "of": status.mark,
                "guards": guards,
                "samples": len(mine),
                "looked": results is not None,
                "analyses": results or (),
            }
        )

    def _crashes(self, status: RolloutStatus) -> int:
        """Crashes during this rollout, without those of an earlier one with the same version."""
        now = self._fleet.crashes(status.model, status.challenger)
        if self._crashes_before[0] != status.id:
            self._crashes_before = (status.id, now)
        return now - self._crashes_before[1]

    def _analyses(
        self, spec: RolloutSpec, status: RolloutStatus, step: RolloutStep, mine: list[RequestSample]
    ) -> tuple[AnalysisResult, ...] | None:
        """Results of a look that has just finished, or None."""
        if status.phase is not Phase.PROGRESSING or not 0 < step.weight < _WHOLE:
            return None
        look = self._look
        if look is not None:
            if not look.running.done():
                return None
            self._look = None
            return look.running.result() if look.mark == status.mark else None
        where = f"{status.id}/{status.step}"
        seen = self._last[1] if self._last[0] == where else 0
        if not self._collector.fresh:
            return _unmeasured(spec, "the adapters give no samples")
        if look_due(len(mine), seen, spec, step):
            self._last = (where, len(mine))
            champions = _of_step(
                self._collector.samples(status.id, status.champion, status.step_started_at),
                status,
                shadow=False,
            )
            running = self._pool.submit(self._run, spec, status, step, champions, mine)
            self._look = _Look(status.mark, running)
        return None

    def _run(
        self,
        spec: RolloutSpec,
        status: RolloutStatus,
        step: RolloutStep,
        champions: list[RequestSample],
        mine: list[RequestSample],
    ) -> tuple[AnalysisResult, ...]:
        since = status.step_started_at
        found = analyse(
            spec,
            step,
            champions,
            mine,
            self._collector.feedback(status.id, status.champion, since),
            self._collector.feedback(status.id, status.challenger, since),
            looks=status.looks,
        )
        return (*found, *self._prometheus.judge(spec, status))


def _of_step(
    samples: list[RequestSample], status: RolloutStatus, *, shadow: bool
) -> list[RequestSample]:
    since = status.step_started_at
    return [s for s in samples if s.at >= since and s.shadow == shadow and s.judged]


def _unmeasured(spec: RolloutSpec, why: str) -> tuple[AnalysisResult, ...]:
    return tuple(
        AnalysisResult(
            name=analysis.title,
            metric=analysis.metric.value,
            verdict=Verdict.ERROR,
            required=analysis.required,
            reason=why,
        )
        for analysis in spec.analyses
        if analysis.metric is not RolloutMetric.PROMETHEUS
    )
