"""Values of the rollout state machine: what is persisted, observed and decided."""

from __future__ import annotations

from enum import StrEnum

from enginehouse.registry.rollouts.spec import RolloutSpec
from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(StrEnum):
    """Phase of a rollout.

    ::

        IDLE ─▶ PREPARING ─▶ PROGRESSING ⇄ PAUSED
                    │             │           │
                    │             ▼           │
                    │         PROMOTING ◀─────┤ (promote)
                    │             │           │
                    ▼             ▼           ▼
                 ABORTED      SUCCEEDED    ABORTED

    ABORTED can be reached from PREPARING, PROGRESSING, PAUSED and PROMOTING. IDLE, SUCCEEDED and
    ABORTED are at rest and left only when a new challenger is set.
    """

    IDLE = "idle"
    #: The challenger is loaded and its gates run; it has no traffic.
    PREPARING = "preparing"
    PROGRESSING = "progressing"
    PAUSED = "paused"
    #: The analyses have passed: the alias is moved and the ensemble is re-pointed.
    PROMOTING = "promoting"
    SUCCEEDED = "succeeded"
    ABORTED = "aborted"

    @property
    def active(self) -> bool:
        """Whether the rollout is in progress."""
        return self in {self.PREPARING, self.PROGRESSING, self.PAUSED, self.PROMOTING}


class Verdict(StrEnum):
    """Result of an analysis, a gate or a guard."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    #: It could not be measured, for example because metrics are down. Counted apart from FAIL.
    ERROR = "error"
    #: Too few samples, or neither harm nor its absence is certain yet. A step never passes on it.
    INCONCLUSIVE = "inconclusive"


class AnalysisResult(_Frozen):
    """Result of one analysis at one look.

    Attributes:
        effect: the estimate, in the unit of the analysis' margin; positive is worse.
        low, high: bounds of the effect that hold at all looks together (mode `sequential`).
        champion, challenger: measured value of each version: a share, or a median.
        statistic: name of the test, for display.
    """

    name: str
    metric: str
    verdict: Verdict
    required: bool = True
    champion: float | None = None
    challenger: float | None = None
    champion_samples: int = 0
    challenger_samples: int = 0
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    statistic: str = ""
    reason: str = ""


class GuardResult(_Frozen):
    """A guard that tripped."""

    name: str
    reason: str


class GateResult(_Frozen):
    """Result of a gate for a version.

    Attributes:
        numbers: measured values, by name with unit.
        overridden_by, override_reason: who let it pass despite its verdict, and why.
    """

    name: str
    verdict: Verdict
    reason: str
    numbers: dict[str, float] = {}
    overridden_by: str | None = None
    override_reason: str | None = None

    @property
    def passed(self) -> bool:
        """Whether this gate permits traffic."""
        return self.verdict is Verdict.PASS or self.overridden_by is not None


class RolloutCommand(StrEnum):
    """What a user may ask of a running rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


class Observation(_Frozen):
    """What the controller observed since the last decision.

    Attributes:
        champion_ready, challenger_ready: whether the version answers on every replica that is up.
        serving: the version to which the champion's ensemble is pinned on all replicas; None if
            replicas differ.
        gates: None while they run; an empty tuple does not count as passed.
        samples: the challenger's requests since this step began.
        looked: whether `analyses` were made for this observation; False on a tick without new data.
        commanded: a user's command; at most one for each observation.
        of: `RolloutStatus.mark` at the time of the observation. An outdated observation can only
            abort, so a replay never moves a rollout twice. None means the current status.
    """

    champion_ready: bool = True
    challenger_ready: bool = True
    serving: int | None = None
    gates: tuple[GateResult, ...] | None = None
    samples: int = 0
    looked: bool = False
    analyses: tuple[AnalysisResult, ...] = ()
    guards: tuple[GuardResult, ...] = ()
    commanded: RolloutCommand | None = None
    actor: str = ""
    reason: str = ""
    of: str | None = None


class RolloutStatus(_Frozen):
    """One rollout, persisted after every decision; all that `decide` knows about the past.

    Attributes:
        id: also the MLflow run's name.
        step: index into the specification's steps.
        weight: the challenger's current share in percent; the champion has the rest.
        abort_reason: set once and never cleared: the rollout will be aborted.
        sampled: the challenger's requests in all completed steps with a weight above 0.
        judged: whether a step with a weight between 1 and 99 passed its analyses.
        forced_by: who promoted it by hand; the analyses and samples are then not required.
        looks: looks made at this step, for mode `fixed`.
        errors_in_row: consecutive looks that ended in ERROR.
    """

    id: str
    model: str
    champion: int
    challenger: int
    phase: Phase = Phase.PREPARING
    step: int = 0
    weight: int = 0
    started_at: float
    step_started_at: float
    ended_at: float | None = None
    paused_reason: str | None = None
    abort_reason: str | None = None
    sampled: int = 0
    judged: bool = False
    forced_by: str | None = None
    looks: int = 0
    errors_in_row: int = 0
    actor: str = ""
    reason: str = ""
    run_id: str | None = None

    @property
    def mark(self) -> str:
        """Identifies a moment of the rollout; changes with every look, step and phase."""
        return f"{self.id}/{self.phase.value}/{self.step}/{self.looks}"

    @property
    def weights(self) -> dict[int, int]:
        """Version → share in percent; the shares sum to 100."""
        if self.phase is Phase.SUCCEEDED:
            return {self.challenger: 100}
        if not self.weight:
            return {self.champion: 100}
        return {self.challenger: self.weight, self.champion: 100 - self.weight}


class Decision(_Frozen):
    """Result of `decide`: the next status and the reason.

    Attributes:
        changed: whether more than counters changed; the decision is then recorded in the history.
        event: its name in the history: ``step``, ``pause``, ``resume``, ``promote``,
            ``succeeded``, ``aborting`` (the champion does not answer yet) or ``abort``.
            ``refused`` means that a command was not accepted, and comes without a change.
    """

    status: RolloutStatus
    changed: bool
    event: str = ""
    reason: str = ""


def begin(
    rollout_id: str, model: str, champion: int, challenger: int, now: float, actor: str, reason: str
) -> RolloutStatus:
    """Start a new rollout; it replaces an earlier one."""
    return RolloutStatus(
        id=rollout_id,
        model=model,
        champion=champion,
        challenger=challenger,
        started_at=now,
        step_started_at=now,
        actor=actor,
        reason=reason,
    )


def shadow_share(spec: RolloutSpec, status: RolloutStatus) -> float:
    """Share of the champion's requests to copy to the challenger now."""
    if status.phase is not Phase.PROGRESSING:
        return 0.0
    return spec.steps[status.step].shadow
