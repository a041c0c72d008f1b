"""The release controller's state of a model: one JSON tag on the registered model.

Only the controller that holds the lease writes it, after every decision. Aliases, routes and
history are derived from it and written again after a crash.
"""

from __future__ import annotations

from collections.abc import Mapping

from enginehouse.registry.rollouts.spec import RolloutSpec
from enginehouse.registry.rollouts.state import (
    AnalysisResult,
    GateResult,
    Phase,
    RolloutStatus,
)
from pydantic import BaseModel, ConfigDict, ValidationError

from enginehouse.errors import RegistryError

#: Tag of the registered model.
TAG_RELEASE = "enginehouse.release"
#: Tag of a version that was rejected, with the reason, for the user who moved the alias.
TAG_REFUSED = "enginehouse.refused"
#: Tag of a version: gate results of the last attempt, as JSON.
TAG_GATES = "enginehouse.gates"
#: Tag of a version: when it first served all traffic.
TAG_SERVED = "enginehouse.served"

#: Aliases that the controller reads and writes.
CHALLENGER = "challenger"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReleaseEvent(_Frozen):
    """A change of traffic or phase, for the history.

    Attributes:
        number: generation of the release state; identifies the event when it is logged again.
        weights: version → share in percent after the change.
        measures: measurements behind the decision, by name.
    """

    number: int
    at: float
    kind: str
    phase: str
    weights: dict[int, int]
    reason: str = ""
    actor: str = ""
    measures: dict[str, float] = {}


class Owed(_Frozen):
    """An event that has not been written to the history yet, with the release it belongs to.

    Attributes:
        kind: kind of the release: ``install``, ``rollout``, ``promotion`` or ``rollback``.
        gates: the release's gate results, for the report.
        analyses: its last analysis results, for the report.
    """

    kind: str
    status: RolloutStatus
    event: ReleaseEvent
    gates: tuple[GateResult, ...] = ()
    analyses: tuple[AnalysisResult, ...] = ()


class ReleaseState(_Frozen):
    """The state of one model's releases.

    Attributes:
        generation: increases with every write.
        epoch: epoch of the lease under which it was written.
        champion: the version that new requests go to, apart from a rollout's share.
        aliases: positions of `champion`, `challenger` and `previous` that the controller last wrote
            or processed; a different position means that a user moved the alias.
        owed_aliases: whether `aliases` has not been written to the registry yet.
        kept: version → until when it stays loaded without traffic, seconds since the epoch.
        rollout: the latest one, active or finished.
        overrides: gate → reason, given when the rollout was started.
        loaded: versions that have to be loaded; checked before a version is deleted.
        kind: kind of the latest rollout, see `Owed`.
        analyses: results of the rollout's last look.
        owed: events that are not in the history yet, oldest first.
        problem: why the registry's champion cannot be served, or None.
    """

    generation: int = 0
    epoch: int = 0
    champion: int | None = None
    aliases: dict[str, int] = {}
    owed_aliases: bool = False
    kept: dict[int, float] = {}
    rollout: RolloutStatus | None = None
    spec: RolloutSpec = RolloutSpec()
    overrides: dict[str, str] = {}
    gates: tuple[GateResult, ...] = ()
    loaded: tuple[int, ...] = ()
    kind: str = "rollout"
    analyses: tuple[AnalysisResult, ...] = ()
    owed: tuple[Owed, ...] = ()
    problem: str | None = None

    @property
    def active(self) -> RolloutStatus | None:
        """The rollout in progress, or None."""
        return self.rollout if self.rollout is not None and self.rollout.phase.active else None

    @property
    def weights(self) -> dict[int, int]:
        """Version → share of new requests in percent; empty if nothing serves."""
        if self.active is not None:
            return self.active.weights
        return {self.champion: 100} if self.champion is not None else {}

    @property
    def wanted(self) -> frozenset[int]:
        """Versions that have to be loaded."""
        versions = set(self.kept)
        if self.champion is not None:
            versions.add(self.champion)
        if self.active is not None:
            versions.add(self.active.challenger)
        return frozenset(versions)

    @property
    def challenger(self) -> int | None:
        """The version that `<model>.challenger` is pinned to, or None."""
        return self.active.challenger if self.active is not None else None

    @property
    def pinned(self) -> int | None:
        """The version that the ensemble `<model>` has to be pinned to."""
        if self.active is not None and self.active.phase is Phase.PROMOTING:
            return self.active.challenger
        return self.champion


def state_of(tags: Mapping[str, str], model: str) -> ReleaseState:
    """The state in a registered model's tags; a new one if there is no tag.

    Raises:
        RegistryError: if the tag is invalid or of another version.
    """
    raw = tags.get(TAG_RELEASE)
    if raw is None:
        return ReleaseState()
    try:
        return ReleaseState.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(item) for item in first["loc"])
        raise RegistryError(
            f"the tag {TAG_RELEASE} of {model} cannot be read: field {where!r}: {first['msg']}; "
            "it was written by another version of Enginehouse, or by hand: delete the tag to "
            "begin again from the aliases"
        ) from None
