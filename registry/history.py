"""The release history: one MLflow run for each rollout, promotion or rollback.

Events are stored as tags of the run, numbered by the generation of the release state, so that an
event which is logged again after a crash is stored once. Weights and measurements are step metrics;
the report is an artefact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from enginehouse.registry.release_state import ReleaseEvent
from enginehouse.registry.rollouts.state import AnalysisResult, RolloutStatus
from enginehouse.registry.store import Registry
from pydantic import BaseModel, ConfigDict

_EVENT = "enginehouse.event."
_TAG_ROLLOUT = "enginehouse.rollout"
_TAG_KIND = "enginehouse.kind_of_release"
_PAGE = 1000
_MILLISECONDS = 1000


class ReleaseRecord(BaseModel):
    """One release, read from its MLflow run.

    Attributes:
        kind: ``install``, ``rollout``, ``promotion`` or ``rollback``.
        outcome: the phase in which it ended, or its current phase.
        run_id: the MLflow run with all measurements.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    run_id: str
    model: str
    kind: str
    champion: int | None
    challenger: int
    actor: str
    reason: str
    started: datetime
    ended: datetime | None
    outcome: str
    events: tuple[ReleaseEvent, ...] = ()
    metrics: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class ServedWeights:
    """What served at a given time: version → share, since when, and the release that set it."""

    weights: dict[int, int]
    since: datetime
    release: ReleaseRecord
    event: ReleaseEvent


class History:
    """Reads and writes one registry's release history."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        #: Run of the release that was written last.
        self._open: dict[str, str] = {}

    def open(self, status: RolloutStatus, kind: str) -> str:
        """Start the run of a release, or find one left by a crash; returns its id.

        Raises:
            RegistryError: if MLflow rejects the request or does not answer.
        """
        if status.id in self._open:
            return self._open[status.id]
        experiment = self._registry.experiment(self._title(status.model))
        with self._registry.session() as client:
            found = client.search_runs(
                [experiment], f"tags.`{_TAG_ROLLOUT}` = '{status.id}'", max_results=1
            )
            if found:
                return self._remember(status.id, found[0])
            run = client.create_run(
                experiment,
                run_name=status.id,
                start_time=int(status.started_at * _MILLISECONDS),
                tags={
                    _TAG_ROLLOUT: status.id,
                    _TAG_KIND: kind,
                    "enginehouse.model": status.model,
                    "enginehouse.champion": str(status.champion or ""),
                    "enginehouse.challenger": str(status.challenger),
                    "enginehouse.actor": status.actor,
                    "enginehouse.reason": status.reason,
                    "enginehouse.phase": status.phase.value,
                },
            )
            return self._remember(status.id, run)

    def _remember(self, release: str, run: Any) -> str:
        self._open = {release: str(run.info.run_id)}
        return self._open[release]

    def _title(self, model: str) -> str:
        return f"enginehouse/{self._registry.registered_name(model)}/releases"

    def log(self, run_id: str, event: ReleaseEvent) -> None:
        """Write an event; idempotent.

        Raises:
            RegistryError: if MLflow rejects the request or does not answer.
        """
        with self._registry.session() as client:
            from mlflow.entities import Metric, RunTag

            at = int(event.at * _MILLISECONDS)
            weights = {f"weight.v{v}": float(w) for v, w in event.weights.items()}
            values = weights | event.measures
            client.log_batch(
                run_id,
                metrics=[Metric(name, value, at, event.number) for name, value in values.items()],
                tags=[
                    # Measurements are stored as metrics; a tag is limited to 8,000 characters.
                    RunTag(
                        f"{_EVENT}{event.number:08d}", event.model_dump_json(exclude={"measures"})
                    ),
                    RunTag("enginehouse.phase", event.phase),
                ],
            )

    def close(self, run_id: str, phase: str, report: str) -> None:
        """End a release's run and attach its report.

        Raises:
            RegistryError: if MLflow rejects the request or does not answer.
        """
        with self._registry.session() as client:
            client.log_text(run_id, report, "report.md")
            client.set_tag(run_id, "mlflow.note.content", report)
            client.set_terminated(run_id, "FINISHED" if phase == "succeeded" else "KILLED")

    def releases(self, model: str) -> list[ReleaseRecord]:
        """All releases of a model, newest first.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        with self._registry.session() as client:
            experiment = client.get_experiment_by_name(self._title(model))
            if experiment is None:
                return []
            return [_release(run, model) for run in _runs(client, [str(experiment.experiment_id)])]

    def serving_at(self, model: str, when: datetime) -> ServedWeights | None:
        """What served at a given time; None before the first release.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        latest: ServedWeights | None = None
        for release in self.releases(model):
            for event in release.events:
                at = datetime.fromtimestamp(event.at, UTC)
                newer = latest is None or (at, event.number) > (latest.since, latest.event.number)
                if at <= when and event.weights and newer:
                    latest = ServedWeights(event.weights, at, release, event)
        return latest


def measures_of(result: AnalysisResult) -> dict[str, float]:
    """An analysis result as MLflow metrics: ``<name>.champion``, ``<name>.effect`` and so on."""
    values = {
        "champion": result.champion,
        "challenger": result.challenger,
        "effect": result.effect,
        "effect_low": result.low,
        "effect_high": result.high,
        "champion_samples": float(result.champion_samples),
        "challenger_samples": float(result.challenger_samples),
    }
    return {f"{result.name}.{key}": value for key, value in values.items() if value is not None}


def _runs(client: Any, experiments: list[str]) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs(
            experiments, max_results=_PAGE, order_by=["start_time DESC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _release(run: Any, model: str) -> ReleaseRecord:
    tags = dict(run.data.tags)
    events = [
        ReleaseEvent.model_validate(json.loads(value))
        for key, value in sorted(tags.items())
        if key.startswith(_EVENT)
    ]
    champion = tags.get("enginehouse.champion")
    return ReleaseRecord(
        id=tags.get(_TAG_ROLLOUT, run.info.run_name),
        run_id=run.info.run_id,
        model=model,
        kind=tags.get(_TAG_KIND, "rollout"),
        champion=int(champion) if champion else None,
        challenger=int(tags["enginehouse.challenger"]),
        actor=tags.get("enginehouse.actor", ""),
        reason=tags.get("enginehouse.reason", ""),
        started=datetime.fromtimestamp(run.info.start_time / _MILLISECONDS, UTC),
        ended=_moment(run.info.end_time),
        outcome=tags.get("enginehouse.phase", ""),
        events=tuple(events),
        metrics={key: float(value) for key, value in run.data.metrics.items()},
    )


def _moment(milliseconds: int | None) -> datetime | None:
    return None if not milliseconds else datetime.fromtimestamp(milliseconds / _MILLISECONDS, UTC)
