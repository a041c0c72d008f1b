"""A fleet that is always ready, and gates and requests that say what they are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from enginehouse.registry.controller.debts import Debts
from enginehouse.registry.controller.model import ModelReleases, Tools
from enginehouse.registry.rollouts.spec import RolloutSpec
from enginehouse.registry.rollouts.state import (
    AnalysisResult,
    GateResult,
    GuardResult,
    Observation,
    RolloutStatus,
    Verdict,
)
from enginehouse.registry.store import Registry

from enginehouse.settings import ReleaseSettings
from enginehouse.traffic import Routes

_ENOUGH = 10_000


class ReadyFleet:
    """Every version that is asked for is ready on one replica."""

    def __init__(self) -> None:
        self.loaded: set[int] = set()
        self.broken: str | None = None

    def ready_somewhere(self, model: str, version: int) -> bool:
        return version in self.loaded

    def ready_everywhere(self, model: str, version: int) -> bool:
        return version in self.loaded

    def ready_versions(self, model: str) -> frozenset[int]:
        return frozenset(self.loaded)

    def failure(self, model: str) -> str | None:
        return self.broken

    def crashes(self, model: str, version: int) -> int:
        return 0


class ScriptedPreparation:
    """Gates that are done at once."""

    fetched = True

    def __init__(self, rollout: str, gates: tuple[GateResult, ...]) -> None:
        self.rollout = rollout
        self._gates = gates

    def results(self) -> tuple[GateResult, ...]:
        return self._gates


@dataclass
class World:
    """Everything outside one controller; it outlives the controller."""

    registry: Registry
    fleet: ReadyFleet = field(default_factory=ReadyFleet)
    gate: Verdict = Verdict.PASS
    verdict: Verdict = Verdict.PASS
    guards: tuple[GuardResult, ...] = ()
    pinned: int | None = None
    routes: Routes | None = None

    def controller(self, name: str, epoch: int = 1) -> ModelReleases:
        """A controller that has just started."""
        placement: Any = SimpleNamespace(
            bundle=lambda *_: SimpleNamespace(manifest=SimpleNamespace(embedding=None))
        )
        fleet: Any = self.fleet
        tools = Tools(
            registry=self.registry,
            placement=placement,
            fleet=fleet,
            settings=ReleaseSettings(),
            debts=Debts(self.registry),
            watch=self._watch,
            prepare=self._prepare,
            publish=self._publish,
            withdraw=lambda _: None,
            report=lambda _: None,
            epoch=epoch,
        )
        return ModelReleases(name, tools)

    def tick(self, releases: ModelReleases, now: float) -> None:
        """What the controller's loop does; the fleet then follows at once."""
        found = self.registry.snapshot()[releases.name]
        releases.sync(found.aliases, found.tags, now)
        releases.tick(now)
        wanted = releases.wanted()
        self.fleet.loaded = set(wanted.versions)
        self.pinned = wanted.champion

    def _publish(self, routes: Routes) -> None:
        self.routes = routes

    def _prepare(self, status: RolloutStatus, served_before: bool) -> Any:  # noqa: FBT001
        gate = GateResult(name="smoke", verdict=self.gate, reason="scripted")
        return ScriptedPreparation(status.id, (gate,))

    def _watch(self) -> Any:
        return SimpleNamespace(observe=self._observe)

    def _observe(self, spec: RolloutSpec, status: RolloutStatus) -> Observation:
        results = tuple(
            AnalysisResult(name=a.title, metric=a.metric.value, verdict=self.verdict)
            for a in spec.analyses
        )
        return Observation(
            champion_ready=status.champion in self.fleet.loaded,
            challenger_ready=status.challenger in self.fleet.loaded,
            serving=self.pinned,
            samples=_ENOUGH,
            looked=True,
            analyses=results,
            guards=self.guards,
        )


class CrashError(Exception):
    """The controller's end, between two of its writes."""


def crash_after(registry: Registry, writes: int) -> Callable[[], int]:
    """Let so many writes through and then die; returns a counter of writes."""
    count = 0

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if count >= writes:
                raise CrashError
            count += 1
            return method(*arguments, **options)

        return call

    client = registry._client
    for name in (
        "set_registered_model_tag",
        "set_registered_model_alias",
        "delete_registered_model_alias",
        "set_model_version_tag",
        "delete_model_version_tag",
        "create_run",
        "set_tag",
        "log_metric",
        "log_batch",
        "log_text",
        "set_terminated",
    ):
        setattr(client, name, guarded(getattr(client, name)))
    return lambda: count
