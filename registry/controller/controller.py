"""The release controller: a loop over all models, and the operations that users request.

Desired state is read from the registry, actual state from each replica. Each tick does at most one
step of each model's rollout, and each replica's worker at most one step of its own. Serving does
not depend on the controller: adapters and replicas keep the state that they were given last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from enginehouse.client.discovery import discovery_of
from enginehouse.model_repository.alias_names import AliasNames
from enginehouse.model_repository.repository import ModelRepository
from enginehouse.registry.cache import BundleCache
from enginehouse.registry.controller.collector import SampleCollector
from enginehouse.registry.controller.debts import Debts
from enginehouse.registry.controller.fencing import Fence, FencedRegistry, LeaseFence
from enginehouse.registry.controller.fleet import FleetView
from enginehouse.registry.controller.lease import Lease
from enginehouse.registry.controller.model import ModelReleases, Tools
from enginehouse.registry.controller.placement import Placement
from enginehouse.registry.controller.preparation import Preparation
from enginehouse.registry.controller.prometheus import PrometheusQueries
from enginehouse.registry.controller.replica import AliveParts, Report
from enginehouse.registry.controller.watching import Watch
from enginehouse.registry.store import Registry

from enginehouse.errors import (
    ConflictError,
    EnginehouseError,
    LeaseLostError,
    NotRegisteredError,
    RegistryError,
)
from enginehouse.manifest import EngineSettings
from enginehouse.settings import Settings
from enginehouse.supervision import SupervisedThread
from enginehouse.traffic import Routes
from enginehouse.traffic.routes import routes_path, write_routes
from enginehouse.triton_control import triton_control_secret

_CONFIRM_PATIENCE_S = 5.0
_CONFIRM_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Acting:
    """The controller's resources under one epoch of the lease."""

    fence: LeaseFence
    registry: FencedRegistry
    placement: Placement
    fleet: FleetView


class Controller:
    """Moves the fleet towards the registry's desired state while it holds the lease."""

    def __init__(
        self,
        settings: Settings,
        token: str,
        report: Report,
        override: Callable[[EngineSettings], EngineSettings],
        alive_parts: AliveParts,
    ) -> None:
        """`token` is the admin token that adapters share; see `ReplicaWorker` for the others."""
        self._settings = settings
        self._report = report
        self._registry = Registry(settings)
        self._override = override
        self._lease = Lease(
            self._registry, settings.addresses.controller_url, settings.release.lease_s
        )
        self._alive_parts = alive_parts
        self._control_secret = triton_control_secret(token)
        self._discovery = discovery_of(settings)
        self._collector = SampleCollector(settings.adapter_urls, token, report)
        self._prometheus = PrometheusQueries(settings.prometheus_url)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="release")
        self._acting: Acting | None = None
        self._models: dict[str, ModelReleases] = {}
        self._published: dict[str, Routes] = {}
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stopping = False
        self._said = ""
        self._read = False
        self._problem: str | None = None
        self._thread = SupervisedThread("controller", self._run)

    def start(self) -> None:
        """Start; acts once it holds the lease."""
        self._collector.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop acting and release the lease; serving continues."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=30.0)
        self._stand_down()
        self._collector.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            self._lease.release()
        except RegistryError as error:
            self._report(f"the lease runs out by itself: {error}")

    def hint(self) -> None:
        """Trigger a tick now, because something may have changed."""
        self._wake.set()
        acting = self._acting
        if acting is not None:
            acting.fleet.nudge()

    @property
    def acting(self) -> bool:
        """Whether this controller holds the lease."""
        return self._lease.held

    def describe(self) -> dict[str, Any]:
        """Release state of every model, as plain data.

        `read` tells whether the registry was read since this controller became active, so that an
        empty list means no models. `problem` is what prevents it from acting, or None.
        """
        with self._lock:
            models = [self._describe(releases) for releases in self._models.values()]
            return {"models": models, "read": self._read, "problem": self._problem}

    def describe_model(self, name: str) -> dict[str, Any]:
        """Release state of one model.

        Raises:
            NotRegisteredError: if it has no champion and never had one.
        """
        with self._lock:
            return self._describe(self._of(name))

    def fleet(self) -> list[dict[str, object]]:
        """State of the replicas, as plain data."""
        acting = self._acting
        return acting.fleet.describe() if acting is not None else []

    def act(self, name: str, what: Callable[[ModelReleases, float], object]) -> dict[str, Any]:
        """Run an operation on a model's releases, between two ticks.

        Raises:
            ConflictError: if another controller holds the lease.
            NotRegisteredError, RolloutError, RegistryError: see `ModelReleases`.
        """
        with self._lock:
            releases = self._current(name)
            what(releases, time.time())
            releases.publish()
            answer = self._describe(releases)
        self.hint()
        return answer

    def confirm(self, name: str) -> int | None:
        """Wait until every adapter applies the routes; returns their number, None on a timeout."""
        routes = self._published.get(name)
        if routes is None:
            return None
        until = time.monotonic() + _CONFIRM_PATIENCE_S
        while time.monotonic() < until:
            applied = self._collector.applied(name, routes.generation)
            if applied is not None:
                return applied
            time.sleep(_CONFIRM_EVERY_S)
        return None

    def _current(self, name: str) -> ModelReleases:
        """The model, updated with the registry's current state."""
        if not self._lease.acquire():
            holder = self._lease.holder()
            where = f"{holder.name} at {holder.url}" if holder is not None else "no controller yet"
            raise ConflictError(f"this controller stands by; the lease is held by {where}")
        self._stand_up()
        snapshot = self._registry.snapshot()
        if name not in snapshot:
            known = ", ".join(sorted(snapshot)) or "none"
            raise NotRegisteredError(f"no registered model {name!r}; there are: {known}")
        found = snapshot[name]
        releases = self._releases(name)
        releases.sync(found.aliases, found.tags, time.time())
        return releases

    def _of(self, name: str) -> ModelReleases:
        if name not in self._models:
            raise NotRegisteredError(f"no registered model {name!r} is followed")
        return self._models[name]

    def _run(self) -> None:
        while not self._stopping:
            try:
                with self._lock:
                    self._tick()
            except LeaseLostError as error:
                with self._lock:
                    self._stand_down()
                self._problem = str(error)
                self._say_once(f"{error}; this controller stands by")
            # The disk may be that of the ledger, of the routes or of the log.
            except (EnginehouseError, OSError) as error:
                self._problem = str(error)
                self._say_once(f"{error}; serving continues")
            else:
                self._problem = None
                self._said = ""
            self._wake.wait(self._settings.release.tick_s)
            self._wake.clear()

    def _tick(self) -> None:
        if not self._lease.acquire():
            self._stand_down()
            return
        acting = self._stand_up()
        fleet = acting.fleet
        fleet.refresh()
        snapshot = self._registry.snapshot()
        for gone in self._models.keys() - snapshot.keys():
            del self._models[gone]
            self._withdraw(acting.fence, gone)
        now = time.time()
        for name, found in snapshot.items():
            releases = self._releases(name)
            try:
                releases.sync(found.aliases, found.tags, now)
                releases.tick(now)
            except RegistryError:
                raise
            except EnginehouseError as error:
                self._say_once(f"{name}: {error}")
        self._read = True
        fleet.want({name: r.wanted() for name, r in self._models.items()})
        active = {r.state.active.id for r in self._models.values() if r.state.active}
        self._collector.keep_only(active)

    def _stand_up(self) -> Acting:
        """Create the resources to act with; a new lease replaces all of them.

        Raises:
            LeaseLostError: if another controller has taken over.
        """
        if self._acting is not None and self._acting.fence.epoch != self._lease.epoch:
            self._stand_down()
        if self._acting is None:
            fence = LeaseFence(
                self._lease, (self._settings.routes_dir, self._settings.model_repository_dir)
            )
            self._acting = self._made(fence)
            self._report(f"this controller holds the lease ({fence.epoch})")
            self._acting.fleet.refresh()
        return self._acting

    def _made(self, fence: LeaseFence) -> Acting:
        settings = self._settings
        names = AliasNames(settings.unary, settings.compat_model, settings.compat_decoupled)
        placement = Placement(
            BundleCache(settings.cache_dir, self._registry),
            ModelRepository(settings.model_repository_dir, names),
            self._override,
            fence,
        )
        fleet = FleetView(
            self._discovery,
            placement,
            self._report,
            self._alive_parts,
            self._control_secret,
            fence,
        )
        return Acting(fence, FencedRegistry(settings, self._lease), placement, fleet)

    def _stand_down(self) -> None:
        if self._acting is not None:
            self._acting.fleet.close()
            self._acting = None
            self._models.clear()
            self._published.clear()
            self._read = False

    def _releases(self, name: str) -> ModelReleases:
        if name not in self._models:
            acting = self._stand_up()
            fleet, placement = acting.fleet, acting.placement
            tools = Tools(
                registry=acting.registry,
                placement=placement,
                fleet=fleet,
                settings=self._settings.release,
                debts=Debts(acting.registry),
                watch=lambda: Watch(fleet, self._collector, self._prometheus, self._pool),
                prepare=lambda status, served: Preparation(
                    status, placement, fleet, self._pool, served_before=served
                ),
                publish=lambda routes: self._publish(acting.fence, routes),
                withdraw=lambda name: self._withdraw(acting.fence, name),
                report=self._report,
                epoch=acting.fence.epoch,
            )
            self._models[name] = ModelReleases(name, tools)
        return self._models[name]

    def _publish(self, fence: Fence, routes: Routes) -> None:
        directory = self._settings.routes_dir
        if self._published.get(routes.model) != routes:
            with fence.writing(directory):
                write_routes(directory, routes)
            self._published[routes.model] = routes

    def _withdraw(self, fence: Fence, name: str) -> None:
        directory = self._settings.routes_dir
        self._published.pop(name, None)
        path = routes_path(directory, name)
        if path.exists():
            with fence.writing(directory):
                path.unlink(missing_ok=True)

    def _describe(self, releases: ModelReleases) -> dict[str, Any]:
        state = releases.state
        fleet = self._acting.fleet if self._acting is not None else None
        rollout = state.rollout.model_dump(mode="json") if state.rollout is not None else None
        steps = [step.model_dump(mode="json") for step in state.spec.steps]
        return {
            "model": releases.name,
            "generation": state.generation,
            "champion": state.champion,
            "previous": state.aliases.get("previous"),
            "weights": {str(v): w for v, w in state.weights.items()},
            "kept": {str(v): until for v, until in state.kept.items()},
            "ready": sorted(fleet.ready_versions(releases.name)) if fleet is not None else [],
            "kind": state.kind,
            "rollout": rollout,
            "steps": steps,
            "gates": [gate.model_dump(mode="json") for gate in state.gates],
            "analyses": [result.model_dump(mode="json") for result in state.analyses],
            "problem": state.problem,
        }

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._report(text)
