"""Prepares a challenger: fetches its bundle, waits until it is loaded, and runs its gates.

The slow parts run in a thread; the controller polls at every tick. A restarted controller starts
the preparation again: it has no persistent state.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from enginehouse.registry.controller.fleet import FleetView
from enginehouse.registry.controller.placement import Placement
from enginehouse.registry.gates.context import GateContext
from enginehouse.registry.gates.suite import FINGERPRINT, INTEGRITY, run_gates
from enginehouse.registry.rollouts.state import GateResult, RolloutStatus, Verdict

from enginehouse.bundle import Bundle
from enginehouse.errors import EnginehouseError

_Results = tuple[GateResult, ...]


class Preparation:
    """The preparation of one challenger."""

    def __init__(
        self,
        status: RolloutStatus,
        placement: Placement,
        fleet: FleetView,
        pool: ThreadPoolExecutor,
        *,
        served_before: bool,
    ) -> None:
        """`served_before`: the version was a champion before, see `run_gates`."""
        self.rollout = status.id
        self._status = status
        self._placement = placement
        self._fleet = fleet
        self._pool = pool
        self._served_before = served_before
        self._fetching: Future[Bundle] | None = pool.submit(
            placement.bundle, status.model, status.challenger
        )
        self._first: _Results = ()
        self._judging: Future[_Results] | None = None

    @property
    def fetched(self) -> bool:
        """Whether the verified bundle is available, so that replicas may load it."""
        return bool(self._first) and self._first[0].passed

    def results(self) -> _Results | None:
        """The gate results once complete; None while something still runs.

        A version whose bundle is damaged, or that a replica cannot load, fails without other gates.
        """
        if self._fetching is not None:
            if not self._fetching.done():
                return None
            self._first = (_integrity(self._fetching),)
            self._fetching = None
        if not self.fetched:
            return self._first
        if self._judging is None:
            return self._load()
        return (*self._first, *self._judging.result()) if self._judging.done() else None

    def _load(self) -> _Results | None:
        status = self._status
        if self._fleet.ready_everywhere(status.model, status.challenger):
            replicas = self._fleet.addresses()
            reason = f"loaded on {len(replicas)} replicas"
            passed = GateResult(
                name=FINGERPRINT,
                verdict=Verdict.PASS,
                reason=reason,
                numbers={"replicas": float(len(replicas))},
            )
            self._first = (*self._first, passed)
            self._judging = self._pool.submit(self._judge, replicas)
            return None
        failure = self._fleet.failure(status.model)
        if failure is None:
            return None
        refused = GateResult(name=FINGERPRINT, verdict=Verdict.FAIL, reason=failure)
        return (*self._first, refused)

    def _judge(self, replicas: tuple[str, ...]) -> _Results:
        status = self._status
        context = GateContext(
            model=status.model,
            version=status.challenger,
            bundle=self._placement.bundle(status.model, status.challenger),
            champion=status.champion,
            champion_bundle=self._placement.bundle(status.model, status.champion),
            replicas=replicas,
        )
        return run_gates(context, served_before=self._served_before)


def _integrity(fetching: Future[Bundle]) -> GateResult:
    try:
        bundle = fetching.result()
    except EnginehouseError as error:
        return GateResult(name=INTEGRITY, verdict=Verdict.FAIL, reason=str(error))
    files = len(bundle.manifest.files)
    return GateResult(
        name=INTEGRITY,
        verdict=Verdict.PASS,
        reason=f"{files} files have the digests of the manifest that was registered",
        numbers={"files": float(files), "bytes": float(bundle.manifest.size_bytes)},
    )
