"""Follows one Triton replica and moves it to its target in its own thread, one step at a time.

A slow load on one replica therefore delays neither other replicas nor a rollback. Replicas share
one model repository on disk and load one after another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from enginehouse.client import TritonClient
from enginehouse.client.discovery import Replica
from enginehouse.client.model_configs import pinned_version
from enginehouse.registry.controller.fencing import Fence
from enginehouse.registry.controller.placement import Placement
from enginehouse.registry.controller.probe import Prober
from enginehouse.registry.controller.replica_plan import (
    Actual,
    ReplicaStep,
    ReplicaTarget,
    StepKind,
    actual_of,
    challenger_alias,
    next_step,
)

from enginehouse.errors import EnginehouseError, LeaseLostError, ServingError
from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, part
from enginehouse.supervision import SupervisedThread

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.5
_RETRY_AFTER_S = 10.0
_REPAIR_PATIENCE_S = 3.0
_TURN_PATIENCE_S = 15.0

Report = Callable[[str], None]
#: gRPC address of a replica → parts whose process is alive; None if that cannot be determined.
AliveParts = Callable[[str], frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """Result of the last look at a replica.

    Attributes:
        up: whether it answered.
        failures: model → why its last step failed; removed after a successful step.
        crashes: ``<model>/<version>`` → number of repairs.
        busy: the step in progress, or None.
    """

    up: bool = False
    models: Mapping[str, Actual] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    crashes: Mapping[str, int] = field(default_factory=dict)
    busy: str | None = None


class ReplicaWorker:
    """Follows one replica until `close`."""

    def __init__(
        self,
        replica: Replica,
        placement: Placement,
        fleet_lock: threading.Lock,
        report: Report,
        alive_parts: AliveParts,
        control_secret: str,
        fence: Fence,
    ) -> None:
        self.replica = replica
        self._placement = placement
        self._fleet_lock = fleet_lock
        self._report = report
        self._alive_parts = alive_parts
        self._fence = fence
        self._control = TritonClient(replica.grpc, control_secret=control_secret)
        self._prober = Prober(replica.grpc, lambda text: report(f"{replica.name}: {text}"))
        self._wanted: dict[str, ReplicaTarget] = {}
        self._seen = Seen()
        self._failures: dict[str, str] = {}
        self._tried: dict[str, tuple[ReplicaTarget, float]] = {}
        self._crashes: dict[str, int] = {}
        self._known_alive: set[str] = set()
        self._wake = threading.Event()
        self._closing = False
        self._thread = SupervisedThread(replica.name, self._run, task="replica")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread; the replica keeps serving."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout=2.0)
        self._prober.close()
        self._control.close()

    @property
    def seen(self) -> Seen:
        """The last look."""
        return self._seen

    def want(self, wanted: Mapping[str, ReplicaTarget]) -> None:
        """Set what the replica has to hold from now on, by model."""
        if wanted == self._wanted:
            return
        for model in self._failures.keys() | wanted.keys():
            if wanted.get(model) != self._wanted.get(model):
                self._failures.pop(model, None)
        self._wanted = dict(wanted)
        self._publish()
        self._wake.set()

    def nudge(self) -> None:
        """Look now."""
        self._wake.set()

    def _run(self) -> None:
        while not self._closing:
            moved = self._cycle()
            if not moved:
                self._wake.wait(_LOOK_EVERY_S)
            self._wake.clear()

    def _cycle(self) -> bool:
        """Look, and take at most one step; returns whether one was taken."""
        try:
            models = self._look()
        except ServingError:
            self._publish(up=False, models={})
            return False
        self._publish(up=True, models=models)
        for model, wanted in self._wanted.items():
            step = next_step(model, wanted, models.get(model, Actual()))
            if step is None:
                self._failures.pop(model, None)
            elif self._may_try(model, wanted):
                return self._take(step, wanted)
        return False

    def _may_try(self, model: str, wanted: ReplicaTarget) -> bool:
        """Whether to try a step; one that failed waits, unless the target has changed."""
        before = self._tried.get(model)
        if before is None or model not in self._failures:
            return True
        return before[0] != wanted or time.monotonic() - before[1] >= _RETRY_AFTER_S

    def _take(self, step: ReplicaStep, wanted: ReplicaTarget) -> bool:
        """Try a step; returns False if it now belongs to another controller."""
        began = time.monotonic()
        self._tried[step.model] = (wanted, began)
        self._publish(busy=f"{step.kind.value} {step.model}")
        try:
            with self._turn():
                self._apply(step, wanted)
        except LeaseLostError:
            # Another controller moves this replica now; the controller loop will end this worker.
            _log.debug("%s: %s is left to another controller", self.replica.name, step.model)
            return False
        except EnginehouseError as error:
            # If Triton disappeared during the step, that says nothing about the model.
            if self._answers():
                self._failures[step.model] = str(error)
            self._report(f"{self.replica.name}: {step.model}: {step.why}, but: {error}")
        else:
            self._failures.pop(step.model, None)
            took = time.monotonic() - began
            self._report(f"{self.replica.name}: {step.model}: {step.why}: done in {took:.1f} s")
        finally:
            self._publish(busy=None)
        return True

    def _answers(self) -> bool:
        try:
            self._control.repository_index()
        except ServingError:
            self._publish(up=False, models={})
            return False
        return True

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let replicas load one at a time, but do not wait long for a slow or stuck load.

        All replicas use the same files, except during a repair, which leaves one version out for a
        moment. A replica that reads them then finds that version missing at its next look.
        """
        held = self._fleet_lock.acquire(timeout=_TURN_PATIENCE_S)
        try:
            yield
        finally:
            if held:
                self._fleet_lock.release()

    def _apply(self, step: ReplicaStep, wanted: ReplicaTarget) -> None:
        model = step.model
        match step.kind:
            case StepKind.LOAD:
                self._placement.write(model, wanted)
                for name in self._placement.aliases(model, embedding=wanted.embedding):
                    self._load(name)
            case StepKind.POINT_CHALLENGER:
                self._placement.write(model, wanted)
                self._load(challenger_alias(model))
            case StepKind.DROP_CHALLENGER:
                self._unload(challenger_alias(model))
            case StepKind.REPAIR:
                self._repair(step, wanted)
            case StepKind.DROP_NAME:
                name, _, version = step.part.rpartition("/")
                self._unload(name)
                self._wait_gone(name, int(version))
            case StepKind.REMOVE:
                self._remove(model)

    def _repair(self, step: ReplicaStep, wanted: ReplicaTarget) -> None:
        """Repair a part: a version recovers only by being unloaded and loaded again.

        If other versions of the part serve, the version is dropped by the version policy, which
        leaves them alone, and the next look finds it missing and loads it. The whole part is
        unloaded only if no version of it serves, because a failed load would drop the others.
        """
        name, _, text = step.part.rpartition("/")
        version = int(text)
        key = f"{step.model}/{version}"
        self._crashes[key] = self._crashes.get(key, 0) + 1
        self._prober.forget(step.model, version)
        others = wanted.versions - {version}
        if others and not wanted.embedding:
            self._placement.write_versions(step.model, others)
            self._load(name)
            self._wait_gone(name, version)
            return
        self._unload(name)
        self._wait_gone(name, version)
        self._placement.write(step.model, wanted)
        for alias in self._placement.aliases(step.model, embedding=wanted.embedding):
            self._load(alias)

    def _load(self, name: str) -> None:
        self._fence.check()
        self._control.load(name)

    def _unload(self, name: str) -> None:
        self._fence.check()
        self._control.unload(name)

    def _wait_gone(self, name: str, version: int) -> bool:
        """Wait with a limit: requests of a dead stub keep a version in UNLOADING."""
        until = time.monotonic() + _REPAIR_PATIENCE_S
        while time.monotonic() < until:
            index = self._control.repository_index()
            states = [s for n, v, s in index if n == name and v == str(version)]
            if all(state in {"", "UNAVAILABLE"} for state in states):
                return True
            time.sleep(0.05)
        return False

    def _remove(self, model: str) -> None:
        names = [*self._placement.aliases(model), challenger_alias(model)]
        names += [part(model, suffix) for suffix in (PREPROCESSING, TENSORRT_LLM, POSTPROCESSING)]
        known = {name for name, _, _ in self._control.repository_index()}
        for name in names:
            if name in known:
                self._unload(name)

    def _look(self) -> dict[str, Actual]:
        index = self._control.repository_index()
        ready = {(name, version) for name, version, state in index if state == "READY"}
        names = {name for name, _ in ready}
        dead = self._dead(ready)
        models = {}
        for model, wanted in self._wanted.items():
            pins = {}
            if not wanted.embedding:
                for alias in (model, challenger_alias(model)):
                    if alias in names:
                        pinned = pinned_version(self._control.model_config(alias))
                        if pinned is not None:
                            pins[alias] = pinned
            silent = self._prober.silent(model, _engines(model, wanted, ready), wanted)
            beside = self._placement.aliases(model, embedding=wanted.embedding)
            models[model] = actual_of(model, index, pins, dead | silent, beside)
        return models

    def _dead(self, ready: set[tuple[str, str]]) -> frozenset[str]:
        """Parts that Triton reports as ready although their process, seen before, is gone.

        Ensembles and parts of NVIDIA's C++ backend never have a process.
        """
        alive = self._alive_parts(self.replica.grpc)
        if alive is None:
            return frozenset()
        self._known_alive |= alive
        here = {f"{name}/{version}" for name, version in ready}
        return frozenset((here & self._known_alive) - alive)

    def _publish(
        self,
        *,
        up: bool | None = None,
        models: Mapping[str, Actual] | None = None,
        busy: str | None = None,
    ) -> None:
        self._seen = Seen(
            up=self._seen.up if up is None else up,
            models=self._seen.models if models is None else models,
            failures=dict(self._failures),
            crashes=dict(self._crashes),
            busy=busy,
        )


def _engines(model: str, wanted: ReplicaTarget, ready: set[tuple[str, str]]) -> list[int]:
    """Versions whose engine is ready."""
    name = model if wanted.embedding else part(model, TENSORRT_LLM)
    return [int(version) for found, version in ready if found == name]
