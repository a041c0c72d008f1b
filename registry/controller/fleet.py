"""All replicas: who they are, what they hold, what they are told to hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from enginehouse.client.discovery import Discovery
from enginehouse.registry.controller.fencing import Fence
from enginehouse.registry.controller.placement import Placement
from enginehouse.registry.controller.replica import AliveParts, ReplicaWorker, Report
from enginehouse.registry.controller.replica_plan import Actual, ReplicaTarget


class FleetView:
    """The controller's picture of the fleet; every replica has a worker."""

    def __init__(
        self,
        discovery: Discovery,
        placement: Placement,
        report: Report,
        alive_parts: AliveParts,
        control_secret: str,
        fence: Fence,
    ) -> None:
        self._discovery = discovery
        self._make: Callable[[Any], ReplicaWorker] = lambda replica: ReplicaWorker(
            replica, placement, self._lock, report, alive_parts, control_secret, fence
        )
        self._lock = threading.Lock()
        self._workers: dict[str, ReplicaWorker] = {}
        self._wanted: dict[str, ReplicaTarget] = {}

    def close(self) -> None:
        """Stop following; what is served goes on being served."""
        for worker in self._workers.values():
            worker.close()

    def refresh(self) -> None:
        """Follow replicas that are new, forget those that are gone."""
        found = {replica.grpc: replica for replica in self._discovery.replicas()}
        for address in self._workers.keys() - found.keys():
            self._workers.pop(address).close()
        for address, replica in found.items():
            if address not in self._workers:
                worker = self._make(replica)
                worker.want(self._wanted)
                worker.start()
                self._workers[address] = worker

    def want(self, wanted: Mapping[str, ReplicaTarget]) -> None:
        """Tell every replica what to hold, by model."""
        self._wanted = dict(wanted)
        for worker in self._workers.values():
            worker.want(wanted)

    def nudge(self) -> None:
        """Have every replica looked at now."""
        for worker in self._workers.values():
            worker.nudge()

    def addresses(self) -> tuple[str, ...]:
        """Addresses (gRPC) of the replicas that are up."""
        return tuple(a for a, worker in self._workers.items() if worker.seen.up)

    def ready_somewhere(self, model: str, version: int) -> bool:
        """Whether a replica that is up has every part of the version ready."""
        return any(version in self._ready(w, model) for w in self._up())

    def ready_everywhere(self, model: str, version: int) -> bool:
        """Whether all replicas that are up have it, and there is one."""
        up = self._up()
        return bool(up) and all(version in self._ready(w, model) for w in up)

    def ready_versions(self, model: str) -> frozenset[int]:
        """Versions that some replica has ready."""
        return frozenset().union(*(self._ready(w, model) for w in self._up()))

    def serving(self, model: str) -> int | None:
        """The version to which the ensemble is pinned on all replicas; None if they differ.

        An embedding model has no ensemble: it is the version that is wanted, once all have it.
        """
        wanted = self._wanted.get(model)
        if wanted is not None and wanted.embedding:
            version = wanted.champion
            ready = version is not None and self.ready_everywhere(model, version)
            return version if ready else None
        pins = {w.seen.models.get(model, Actual()).champion for w in self._up()}
        return pins.pop() if len(pins) == 1 else None

    def failure(self, model: str) -> str | None:
        """Why a replica's last step for the model failed, if one did."""
        for worker in self._workers.values():
            found = worker.seen.failures.get(model)
            if found is not None:
                return f"replica {worker.replica.name}: {found}"
        return None

    def crashes(self, model: str, version: int) -> int:
        """Times that the version had to be repaired, over all replicas."""
        key = f"{model}/{version}"
        return sum(worker.seen.crashes.get(key, 0) for worker in self._workers.values())

    def describe(self) -> list[dict[str, object]]:
        """Plain data for the status page."""
        return [
            {
                "name": worker.replica.name,
                "address": address,
                "up": worker.seen.up,
                "busy": worker.seen.busy,
                "models": {model: sorted(self._ready(worker, model)) for model in self._wanted},
                "failures": dict(worker.seen.failures),
            }
            for address, worker in self._workers.items()
        ]

    def _up(self) -> list[ReplicaWorker]:
        return [worker for worker in self._workers.values() if worker.seen.up]

    def _ready(self, worker: ReplicaWorker, model: str) -> frozenset[int]:
        wanted = self._wanted.get(model)
        embedding = wanted is not None and wanted.embedding
        return worker.seen.models.get(model, Actual()).ready(model, embedding=embedding)
