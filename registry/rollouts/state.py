"""The words of the state machine: what is persisted, what is observed, what is decided."""

from __future__ import annotations

from enum import StrEnum

from enginehouse.registry.rollouts.spec import RolloutSpec
from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(StrEnum):
    """Where a rollout is.

    ::

        IDLE ─▶ PREPARING ─▶ PROGRESSING ⇄ PAUSED
                    │             │           │
                    │             ▼           │
                    │         PROMOTING ◀─────┤ (promote)
                    │             │           │
                    ▼             ▼           ▼
                 ABORTED      SUCCEEDED    ABORTED

    ABORTED is reached from PREPARING, PROGRESSING, PAUSED and PROMOTING. IDLE, SUCCEEDED and
    ABORTED are at rest; only a new challenger leaves them.
    """

    IDLE = "idle"
    #: The challenger is loaded and goes through the gates; it has no traffic.
    PREPARING = "preparing"
    PROGRESSING = "progressing"
    PAUSED = "paused"
    #: The analyses are done: the alias moves and the ensemble is re-pointed.
    PROMOTING = "promoting"
    SUCCEEDED = "succeeded"
    ABORTED = "aborted"

    @property
    def active(self) -> bool:
        """Whether the rollout is under way."""
        return self in {self.PREPARING, self.PROGRESSING, self.PAUSED, self.PROMOTING}


class Verdict(StrEnum):
    """What an analysis, a gate or a guard says."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    #: It could not be measured: metrics are down. Counted apart from failure.
    ERROR = "error"
    #: Too few samples, or neither harm nor its absence is certain yet. Never passes.
    INCONCLUSIVE = "inconclusive"


class AnalysisResult(_Frozen):
    """One analysis at one look.

    Attributes:
        effect: the estimate, in the unit of the analysis' margin; positive is worse.
        low, high: bounds of the effect that hold at every look together (mode `sequential`).
        champion, challenger: what was seen on each side: a share, or a median.
        statistic: name of the test, for readers.
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
    """A guard that broke."""

    name: str
    reason: str


class GateResult(_Frozen):
    """What a gate says of a version.

    Attributes:
        numbers: what it measured, by name with unit.
        overridden_by, override_reason: who let it pass all the same, and why.
    """

    name: str
    verdict: Verdict
    reason: str
    numbers: dict[str, float] = {}
    overridden_by: str | None = None
    override_reason: str | None = None

    @property
    def passed(self) -> bool:
        """Whether traffic may start as far as this gate is concerned."""
        return self.verdict is Verdict.PASS or self.overridden_by is not None


class Command(StrEnum):
    """What a person may ask of a running rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


class Observation(_Frozen):
    """What the controller saw since the last decision.

    Attributes:
        champion_ready, challenger_ready: whether the version answers on every replica that is up.
        serving: the version to which the champion's ensemble is pinned everywhere; None if
            replicas differ.
        gates: None while they run; empty is not "passed".
        samples: the challenger's requests since this step began.
        looked: whether `analyses` were made for this observation; a tick without news is no look.
        commanded: a person's word, at most one for an observation.
        of: `RolloutStatus.mark` at which all this was seen; an observation of another moment can
            abort and nothing else, so a replay moves nothing twice. None: of the status given.
    """

    champion_ready: bool = True
    challenger_ready: bool = True
    serving: int | None = None
    gates: tuple[GateResult, ...] | None = None
    samples: int = 0
    looked: bool = False
    analyses: tuple[AnalysisResult, ...] = ()
    guards: tuple[GuardResult, ...] = ()
    commanded: Command | None = None
    actor: str = ""
    reason: str = ""
    of: str | None = None


class RolloutStatus(_Frozen):
    """One rollout, persisted after every decision; everything `decide` knows of the past.

    Attributes:
        id: also the MLflow run's name.
        step: index into the specification's steps.
        weight: the challenger's share now, in percent; the champion has the rest.
        abort_reason: set once and never taken back: the rollout is going to be aborted.
        sampled: the challenger's requests in all finished steps with weight above 0.
        judged: whether a step with weight between 1 and 99 passed its analyses.
        forced_by: who promoted it by hand, past the analyses; it then needs no samples.
        looks: analyses made at this step, for mode `fixed`.
        errors_in_row: looks in a row that ended in ERROR.
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
        """Names this moment of the rollout; it changes with every look, step and phase."""
        return f"{self.id}/{self.phase.value}/{self.step}/{self.looks}"

    @property
    def weights(self) -> dict[int, int]:
        """Version → share in percent; they always sum to 100."""
        if self.phase is Phase.SUCCEEDED:
            return {self.challenger: 100}
        if not self.weight:
            return {self.champion: 100}
        return {self.challenger: self.weight, self.champion: 100 - self.weight}


class Decision(_Frozen):
    """What `decide` says: the next status, and why.

    Attributes:
        changed: whether anything but counters differs; it is then an event of the history.
        event: a word for the history: ``step``, ``pause``, ``resume``, ``promote``, ``succeeded``,
            ``aborting`` (the champion does not answer yet), ``abort``; ``refused`` says that a
            command was not followed, and comes without a change.
    """

    status: RolloutStatus
    changed: bool
    event: str = ""
    reason: str = ""


def begin(
    rollout_id: str, model: str, champion: int, challenger: int, now: float, actor: str, reason: str
) -> RolloutStatus:
    """A new rollout; whatever ran before is over."""
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
    """Share of the champion's requests to copy now."""
    if status.phase is not Phase.PROGRESSING:
        return 0.0
    return spec.steps[status.step].shadow
