"""The fleet: all replicas, their actual state and their targets."""

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
    """The controller's view of the fleet; every replica has a worker."""

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
        """Stop all workers; serving continues."""
        for worker in self._workers.values():
            worker.close()

    def refresh(self) -> None:
        """Start workers for new replicas, stop those of removed ones."""
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
        """Set what every replica has to hold, by model."""
        self._wanted = dict(wanted)
        for worker in self._workers.values():
            worker.want(wanted)

    def nudge(self) -> None:
        """Let every worker look at its replica now."""
        for worker in self._workers.values():
            worker.nudge()

    def addresses(self) -> tuple[str, ...]:
        """GRPC addresses of the replicas that are up."""
        return tuple(a for a, worker in self._workers.items() if worker.seen.up)

    def ready_somewhere(self, model: str, version: int) -> bool:
        """Whether any replica that is up has every part of the version ready."""
        return any(version in self._ready(w, model) for w in self._up())

    def ready_everywhere(self, model: str, version: int) -> bool:
        """Whether at least one replica is up, and all of these have the version ready."""
        up = self._up()
        return bool(up) and all(version in self._ready(w, model) for w in up)

    def ready_versions(self, model: str) -> frozenset[int]:
        """Versions that are ready on any replica."""
        return frozenset().union(*(self._ready(w, model) for w in self._up()))

    def serving(self, model: str) -> int | None:
        """The version that the ensemble is pinned to on all replicas; None if they differ.

        An embedding model has no ensemble: its target version counts once all replicas have it.
        """
        wanted = self._wanted.get(model)
        if wanted is not None and wanted.embedding:
            version = wanted.champion
            ready = version is not None and self.ready_everywhere(model, version)
            return version if ready else None
        pins = {w.seen.models.get(model, Actual()).champion for w in self._up()}
        return pins.pop() if len(pins) == 1 else None

    def failure(self, model: str) -> str | None:
        """Why a replica's last step for the model failed; None if none did."""
        for worker in self._workers.values():
            found = worker.seen.failures.get(model)
            if found is not None:
                return f"replica {worker.replica.name}: {found}"
        return None

    def crashes(self, model: str, version: int) -> int:
        """Number of repairs of the version, over all replicas."""
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
