"""The transition function of the rollout state machine: `decide`, and one function for each phase.

The controller observes, calls `decide`, persists the result and applies it. It may be restarted
between any two of these, so `decide` keeps no state of its own; see `RolloutStatus.mark`.
"""

from __future__ import annotations

from enginehouse.registry.rollouts.spec import RolloutSpec, RolloutStep
from enginehouse.registry.rollouts.state import (
    AnalysisResult,
    Decision,
    Observation,
    Phase,
    RolloutCommand,
    RolloutStatus,
    Verdict,
)

_WHOLE = 100


def decide(
    spec: RolloutSpec, status: RolloutStatus, observation: Observation, now: float
) -> Decision:
    """Compute the next status and the reason for it.

    Order of precedence: an abort in progress; a user's abort command; guards; the deadline; the
    user's other commands; the rules of the phase. A finished rollout never changes.

    Args:
        now: seconds since the epoch.
    """
    rest = _why_nothing(status, observation)
    if rest is not None:
        return _stay(status, rest)
    abort = status.abort_reason or _why_abort(spec, status, observation, now)
    if abort is not None:
        return _abort(status, observation, now, abort)
    if observation.of not in {None, status.mark}:
        return _stay(status, f"this was seen at {observation.of}, now it is {status.mark}")
    refusal = _refusal(status, observation)
    if observation.commanded is not None and refusal is None:
        return _command(status, observation, now)
    decision = _continue(spec, status, observation, now)
    if refusal is None or decision.changed:
        return decision
    return decision.model_copy(update={"event": "refused", "reason": refusal})


def _continue(
    spec: RolloutSpec, status: RolloutStatus, observation: Observation, now: float
) -> Decision:
    """Apply the rules of the current phase."""
    if status.phase is Phase.PREPARING:
        return _prepare(spec, status, observation, now)
    if status.phase is Phase.PROGRESSING:
        return _progress(spec, status, observation, now)
    if status.phase is Phase.PROMOTING:
        return _promote(status, observation, now)
    return _stay(status, status.paused_reason or "paused")


def _why_nothing(status: RolloutStatus, observation: Observation) -> str | None:
    """Why this observation can have no effect, not even an abort; None if it can have one."""
    if not status.phase.active:
        return f"the rollout is over: {status.phase.value}"
    if observation.of is not None and not observation.of.startswith(f"{status.id}/"):
        return f"this was seen at another rollout: {observation.of}"
    return None


def _why_abort(
    spec: RolloutSpec, status: RolloutStatus, observation: Observation, now: float
) -> str | None:
    """Reason to abort in any phase; None if there is none."""
    if observation.commanded is RolloutCommand.ABORT:
        return _said(observation, "aborted")
    if observation.guards:
        return "; ".join(f"guard {guard.name}: {guard.reason}" for guard in observation.guards)
    # A promotion that has started is not aborted by the deadline.
    if status.phase is not Phase.PROMOTING and now - status.started_at > spec.deadline_s:
        return f"not promoted within {spec.deadline_s:g} s"
    return None


def _abort(status: RolloutStatus, observation: Observation, now: float, reason: str) -> Decision:
    """Record the abort immediately; shift traffic only if the champion can serve it."""
    first = status.abort_reason is None
    marked = status.model_copy(update={"abort_reason": reason})
    if not observation.champion_ready:
        return Decision(
            status=marked,
            changed=first,
            event="aborting" if first else "",
            reason=f"{reason}; the champion does not answer yet",
        )
    over = {"phase": Phase.ABORTED, "weight": 0, "ended_at": now, "paused_reason": None}
    return _change(marked, "abort", reason, **over)


def _command(status: RolloutStatus, observation: Observation, now: float) -> Decision:
    """Apply a pause, resume or promote command that `_refusal` has accepted."""
    if observation.commanded is RolloutCommand.PAUSE:
        return _pause(status, _said(observation, "paused"))
    if observation.commanded is RolloutCommand.RESUME:
        return _change(
            status,
            "resume",
            _said(observation, "resumed"),
            phase=Phase.PROGRESSING,
            paused_reason=None,
            step_started_at=now,
            errors_in_row=0,
        )
    return _change(
        status,
        "promote",
        _said(observation, "promoted by hand"),
        phase=Phase.PROMOTING,
        weight=_WHOLE,
        paused_reason=None,
        forced_by=observation.actor or "unknown",
    )


def _refusal(status: RolloutStatus, observation: Observation) -> str | None:
    """Why the command is not allowed now; None if it is allowed or there is no command."""
    command, phase = observation.commanded, status.phase
    if command is RolloutCommand.PAUSE and phase is not Phase.PROGRESSING:
        return f"only a progressing rollout can be paused, this is {phase.value}"
    if command is RolloutCommand.RESUME and phase is not Phase.PAUSED:
        return f"only a paused rollout can be resumed, this is {phase.value}"
    if command is RolloutCommand.PROMOTE:
        if phase is Phase.PROMOTING:
            return "it is being promoted already"
        if phase is Phase.PREPARING and not _gates_passed(observation):
            return "the gates have not passed"
        if not observation.challenger_ready:
            return "the challenger does not answer"
    return None


def _prepare(
    spec: RolloutSpec, status: RolloutStatus, observation: Observation, now: float
) -> Decision:
    """Check the gates. Any that did not pass aborts; an empty list does not count as passed."""
    if not observation.gates:
        return _stay(status, "gates are running" if observation.gates is None else "no gate ran")
    if not _gates_passed(observation):
        failed = "; ".join(f"{g.name}: {g.reason}" for g in observation.gates if not g.passed)
        return _abort(status, observation, now, f"gates not passed: {failed}")
    if not observation.challenger_ready:
        return _stay(status, "gates passed; the challenger does not answer yet")
    return _enter(spec, status, 0, now, "gates passed")


def _gates_passed(observation: Observation) -> bool:
    return bool(observation.gates) and all(gate.passed for gate in observation.gates or ())


def _progress(
    spec: RolloutSpec, status: RolloutStatus, observation: Observation, now: float
) -> Decision:
    """Evaluate the current step: failures first, then unmeasured analyses, then completion."""
    if not observation.challenger_ready:
        return _stay(status, "the challenger does not answer; holding")
    failed = [r for r in observation.analyses if r.verdict is Verdict.FAIL]
    if failed:
        reason = "; ".join(f"{r.name}: {r.reason}" for r in failed)
        return _abort(status, observation, now, f"analysis failed: {reason}")
    step = spec.steps[status.step]
    if observation.looked and step.compares:
        status = _counted(spec, status, observation)
        if status.errors_in_row > spec.errors_allowed:
            missing = ", ".join(_unmeasured(spec, observation))
            why = f"{status.errors_in_row} looks in a row could not measure {missing}"
            return _pause(status, why)
    return _advance(spec, status, observation, now)


def _counted(spec: RolloutSpec, status: RolloutStatus, observation: Observation) -> RolloutStatus:
    """Count the look, and whether a required analysis could not be measured."""
    errors = status.errors_in_row + 1 if _unmeasured(spec, observation) else 0
    return status.model_copy(update={"looks": status.looks + 1, "errors_in_row": errors})


def _unmeasured(spec: RolloutSpec, observation: Observation) -> list[str]:
    """Required analyses that ended in ERROR or have no result."""
    found = {r.name for r in observation.analyses if r.verdict is not Verdict.ERROR}
    return [a.title for a in spec.analyses if a.required and a.title not in found]


def _advance(
    spec: RolloutSpec, status: RolloutStatus, observation: Observation, now: float
) -> Decision:
    """Go to the next step, or to the promotion, if this step is complete."""
    step = spec.steps[status.step]
    waiting = _waiting(step, status, observation, now)
    if waiting is not None:
        return _stay(status, waiting)
    if step.compares:
        open_ones = _not_passed(spec, observation)
        if open_ones:
            undecided = f"undecided: {'; '.join(open_ones)}"
            if observation.looked and spec.on_inconclusive == "abort":
                return _abort(status, observation, now, undecided)
            return _stay(status, undecided)
    if status.step + 1 == len(spec.steps):
        return _finish(status, observation)
    gained = {
        "sampled": status.sampled + (observation.samples if step.weight else 0),
        "judged": status.judged or step.compares,
    }
    passed = f"step {status.step} ({step.weight} %) passed"
    return _enter(spec, status.model_copy(update=gained), status.step + 1, now, passed)


def _waiting(
    step: RolloutStep, status: RolloutStatus, observation: Observation, now: float
) -> str | None:
    """The minimum duration or sample count that the step has not reached; None if it has both."""
    lasted = now - status.step_started_at
    if lasted < step.min_duration_s:
        return f"{lasted:.0f} of {step.min_duration_s:g} s"
    if observation.samples < step.min_samples:
        return f"{observation.samples} of {step.min_samples} samples"
    return None


def _not_passed(spec: RolloutSpec, observation: Observation) -> list[str]:
    """Required analyses without PASS at this observation, each with its reason."""
    if not observation.looked:
        return ["no look at this observation"]
    by_name: dict[str, AnalysisResult] = {r.name: r for r in observation.analyses}
    required = [a.title for a in spec.analyses if a.required]
    if not required:
        return ["no analysis is required"]
    return [
        f"{name}: {by_name[name].reason or by_name[name].verdict.value}"
        if name in by_name
        else f"{name}: not measured"
        for name in required
        if name not in by_name or by_name[name].verdict is not Verdict.PASS
    ]


def _finish(status: RolloutStatus, observation: Observation) -> Decision:
    """Promote after the last step, only if at least one weighted step was measured and passed."""
    sampled = status.sampled + observation.samples
    if not status.judged or sampled <= 0:
        return _stay(status, "no step with a weight from 1 to 99 has passed its analyses")
    reason = f"all steps passed on {sampled} requests"
    return _change(status, "promote", reason, phase=Phase.PROMOTING, weight=_WHOLE, sampled=sampled)


def _promote(status: RolloutStatus, observation: Observation, now: float) -> Decision:
    """Succeed when every replica's ensemble is pinned to the challenger."""
    if observation.serving != status.challenger:
        return _stay(status, "replicas are being re-pointed")
    reason = f"version {status.challenger} serves everywhere"
    return _change(status, "succeeded", reason, phase=Phase.SUCCEEDED, ended_at=now)


def _enter(
    spec: RolloutSpec, status: RolloutStatus, step: int, now: float, reason: str
) -> Decision:
    """Enter a step and set its weight."""
    weight = spec.steps[step].weight
    return _change(
        status,
        "step",
        f"{reason}; step {step}: {weight} %",
        phase=Phase.PROGRESSING,
        step=step,
        weight=weight,
        step_started_at=now,
        looks=0,
        errors_in_row=0,
    )


def _pause(status: RolloutStatus, reason: str) -> Decision:
    return _change(status, "pause", reason, phase=Phase.PAUSED, paused_reason=reason)


def _change(status: RolloutStatus, event: str, reason: str, **update: object) -> Decision:
    """A decision that is recorded in the history."""
    return Decision(
        status=status.model_copy(update=update), changed=True, event=event, reason=reason
    )


def _stay(status: RolloutStatus, reason: str) -> Decision:
    return Decision(status=status, changed=False, reason=reason)


def _said(observation: Observation, what: str) -> str:
    """Describe a user's command with its actor and reason."""
    by = f"{what} by {observation.actor or 'unknown'}"
    return f"{by}: {observation.reason}" if observation.reason else by
