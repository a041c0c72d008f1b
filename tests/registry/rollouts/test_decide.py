from __future__ import annotations

import pytest
from enginehouse.registry.rollouts.decide import decide
from enginehouse.registry.rollouts.spec import RolloutSpec
from enginehouse.registry.rollouts.state import (
    Decision,
    GuardResult,
    Observation,
    Phase,
    RolloutCommand,
    RolloutStatus,
    Verdict,
    begin,
)

from tests.registry.rollouts.builders import (
    CHALLENGER,
    CHAMPION,
    LATER,
    SPEC,
    START,
    gate,
    look,
    result,
    status,
)

ACTIVE = [phase for phase in Phase if phase.active]
AT_REST = [phase for phase in Phase if not phase.active]
GUARD = GuardResult(name="error_burst", reason="10 of 20 failed")


def after(
    given: RolloutStatus, seen: Observation, now: float = LATER, spec: RolloutSpec = SPEC
) -> Decision:
    return decide(spec, given, seen, now)


@pytest.mark.parametrize("phase", AT_REST)
@pytest.mark.parametrize("command", [None, *RolloutCommand])
def test_at_rest_nothing_changes(phase: Phase, command: RolloutCommand | None) -> None:
    given = status(phase)
    seen = look(Verdict.FAIL, commanded=command, guards=(GUARD,), serving=CHALLENGER)
    decision = after(given, seen, START + 10_000)
    assert decision.status == given
    assert not decision.changed


@pytest.mark.parametrize(
    ("gates", "ready", "phase"),
    [
        (None, True, Phase.PREPARING),
        ((), True, Phase.PREPARING),
        ((gate(),), False, Phase.PREPARING),
        ((gate(),), True, Phase.PROGRESSING),
        ((gate(), gate(Verdict.FAIL)), True, Phase.ABORTED),
        ((gate(Verdict.ERROR),), True, Phase.ABORTED),
        ((gate(Verdict.INCONCLUSIVE),), True, Phase.ABORTED),
        ((gate(Verdict.FAIL, overridden_by="ann"),), True, Phase.PROGRESSING),
    ],
)
def test_gates_come_first(gates: tuple[object, ...] | None, ready: bool, phase: Phase) -> None:  # noqa: FBT001
    seen = Observation(gates=gates, challenger_ready=ready)  # type: ignore[arg-type]
    assert after(status(Phase.PREPARING), seen).status.phase is phase


def test_gates_passed_begin_step_0_with_its_weight() -> None:
    decision = after(status(Phase.PREPARING), Observation(gates=(gate(),)))
    assert (decision.status.step, decision.status.weight, decision.event) == (0, 0, "step")
    assert decision.status.step_started_at == LATER
    assert decision.changed


def test_a_gate_that_fails_is_named() -> None:
    decision = after(status(Phase.PREPARING), Observation(gates=(gate(Verdict.FAIL),)))
    assert "parity: 0.2 of 0.1" in decision.reason


def test_a_shadow_step_needs_time_and_copies_only() -> None:
    given = status(step=0, weight=0)
    assert after(given, Observation(samples=5), START + 9).status == given
    assert after(given, Observation(samples=4)).status == given
    passed = after(given, Observation(samples=5)).status
    assert (passed.step, passed.weight, passed.sampled, passed.judged) == (1, 10, 0, False)


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (look(), 2),
        (look(samples=4), 1),
        (look(looked=False, analyses=()), 1),
        (look(analyses=()), 1),
        (look(analyses=(result("error_rate"),)), 1),
        (look(Verdict.INCONCLUSIVE), 1),
        (look(Verdict.ERROR), 1),
        (look(feedback=Verdict.ERROR), 2),
        (look(challenger_ready=False), 1),
    ],
)
def test_a_step_passes_only_when_all_that_is_required_passed(seen: Observation, step: int) -> None:
    assert after(status(), seen).status.step == step


def test_a_step_has_its_time() -> None:
    assert after(status(), look(), START + 9.9).status.step == 1


def test_a_passed_step_counts_its_samples_and_starts_the_next_afresh() -> None:
    given = status(looks=7, errors_in_row=1, sampled=3)
    moved = after(given, look(samples=50)).status
    assert (moved.step, moved.weight, moved.sampled, moved.judged) == (2, 50, 53, True)
    assert (moved.looks, moved.errors_in_row, moved.step_started_at) == (0, 0, LATER)
    assert moved.weights == {CHALLENGER: 50, CHAMPION: 50}


@pytest.mark.parametrize(
    "seen",
    [look(Verdict.FAIL), look(ttft=Verdict.FAIL), look(feedback=Verdict.FAIL)],
)
def test_any_failure_aborts_before_the_step_has_its_time(seen: Observation) -> None:
    decision = after(status(), seen, START + 1)
    assert decision.status.phase is Phase.ABORTED
    assert decision.status.weights == {CHAMPION: 100}
    assert "so it was" in decision.reason


def test_metrics_away_are_counted_and_pause_but_never_abort() -> None:
    given = status()
    for errors in (1, 2):
        given = after(given, look(Verdict.ERROR)).status
        assert (given.phase, given.errors_in_row) == (Phase.PROGRESSING, errors)
    decision = after(given, look(Verdict.ERROR))
    assert decision.status.phase is Phase.PAUSED
    assert decision.event == "pause"
    assert "error_rate" in (decision.status.paused_reason or "")
    assert decision.status.weight == 10


def test_a_look_that_measures_ends_the_row_of_errors() -> None:
    given = after(status(), look(Verdict.ERROR)).status
    assert after(given, look(Verdict.INCONCLUSIVE)).status.errors_in_row == 0


def test_a_required_analysis_that_is_missing_counts_as_not_measured() -> None:
    assert after(status(), look(analyses=())).status.errors_in_row == 1


def test_a_tick_without_a_look_counts_nothing() -> None:
    decision = after(status(errors_in_row=1), Observation(samples=2))
    assert (decision.status.looks, decision.status.errors_in_row) == (0, 1)
    assert not decision.changed


def test_inconclusive_holds_or_aborts_as_specified() -> None:
    gives_up = SPEC.model_copy(update={"on_inconclusive": "abort"})
    undecided = look(Verdict.INCONCLUSIVE)
    assert after(status(), undecided).status.phase is Phase.PROGRESSING
    assert after(status(), undecided, START + 1, gives_up).status.phase is Phase.PROGRESSING
    assert after(status(), undecided, LATER, gives_up).status.phase is Phase.ABORTED


def test_the_last_step_leads_to_the_promotion() -> None:
    given = status(step=3, weight=100, judged=True, sampled=30)
    decision = after(given, Observation(samples=5))
    assert (decision.status.phase, decision.status.sampled) == (Phase.PROMOTING, 35)
    assert decision.event == "promote"


def test_nothing_is_promoted_that_was_never_judged() -> None:
    given = status(step=3, weight=100, judged=False)
    assert after(given, Observation(samples=500)).status.phase is Phase.PROGRESSING


@pytest.mark.parametrize("serving", [None, CHAMPION, CHALLENGER])
def test_a_promotion_succeeds_when_every_replica_serves_the_challenger(
    serving: int | None,
) -> None:
    moved = after(status(Phase.PROMOTING), Observation(serving=serving)).status
    done = serving == CHALLENGER
    assert moved.phase is (Phase.SUCCEEDED if done else Phase.PROMOTING)
    assert moved.weights == ({CHALLENGER: 100} if done else {CHALLENGER: 100, CHAMPION: 0})
    assert moved.ended_at == (LATER if done else None)


@pytest.mark.parametrize("phase", ACTIVE)
@pytest.mark.parametrize(
    "seen",
    [Observation(commanded=RolloutCommand.ABORT, actor="bob", reason="no"), look(guards=(GUARD,))],
)
def test_an_abort_waits_for_the_champion_and_is_never_taken_back(
    phase: Phase, seen: Observation
) -> None:
    given = status(phase)
    waiting = after(given, seen.model_copy(update={"champion_ready": False}))
    assert (waiting.status.phase, waiting.status.weight) == (phase, given.weight)
    assert (waiting.changed, waiting.event) == (True, "aborting")
    assert waiting.status.abort_reason
    for command in (None, *RolloutCommand):
        tempting = look(
            commanded=command, champion_ready=False, serving=CHALLENGER, gates=(gate(),)
        )
        again = after(waiting.status, tempting)
        assert again.status == waiting.status
        assert not again.changed
    done = after(waiting.status, Observation())
    assert (done.status.phase, done.event) == (Phase.ABORTED, "abort")
    assert done.status.weights == {CHAMPION: 100}
    assert done.status.abort_reason == waiting.status.abort_reason


@pytest.mark.parametrize("phase", ACTIVE)
def test_the_deadline_aborts_all_but_a_promotion(phase: Phase) -> None:
    moved = after(status(phase), Observation(challenger_ready=False), START + 501).status
    kept = phase is Phase.PROMOTING
    assert moved.phase is (phase if kept else Phase.ABORTED)


@pytest.mark.parametrize(
    ("phase", "command", "becomes"),
    [
        (Phase.PREPARING, RolloutCommand.PAUSE, None),
        (Phase.PREPARING, RolloutCommand.RESUME, None),
        (Phase.PREPARING, RolloutCommand.PROMOTE, None),
        (Phase.PROGRESSING, RolloutCommand.PAUSE, Phase.PAUSED),
        (Phase.PROGRESSING, RolloutCommand.RESUME, None),
        (Phase.PROGRESSING, RolloutCommand.PROMOTE, Phase.PROMOTING),
        (Phase.PAUSED, RolloutCommand.PAUSE, None),
        (Phase.PAUSED, RolloutCommand.RESUME, Phase.PROGRESSING),
        (Phase.PAUSED, RolloutCommand.PROMOTE, Phase.PROMOTING),
        (Phase.PROMOTING, RolloutCommand.PAUSE, None),
        (Phase.PROMOTING, RolloutCommand.RESUME, None),
        (Phase.PROMOTING, RolloutCommand.PROMOTE, None),
    ],
)
def test_commands(phase: Phase, command: RolloutCommand, becomes: Phase | None) -> None:
    given = status(phase)
    decision = after(given, Observation(commanded=command, actor="ann", reason="why not"))
    if becomes is None:
        assert (decision.status, decision.event) == (given, "refused")
        assert decision.reason
        return
    assert decision.status.phase is becomes
    assert "ann: why not" in decision.reason


def test_a_refused_command_does_not_hide_what_else_was_seen() -> None:
    assert after(status(), look(Verdict.FAIL, commanded=RolloutCommand.RESUME)).event == "abort"
    counted = after(status(), look(Verdict.ERROR, commanded=RolloutCommand.RESUME))
    assert (counted.event, counted.status.errors_in_row) == ("refused", 1)


def test_a_promotion_by_hand_names_who_did_it_and_takes_all_traffic() -> None:
    seen = Observation(commanded=RolloutCommand.PROMOTE, actor="ann")
    moved = after(status(), seen).status
    assert (moved.forced_by, moved.weight) == ("ann", 100)
    prepared = after(status(Phase.PREPARING), seen.model_copy(update={"gates": (gate(),)}))
    assert prepared.status.phase is Phase.PROMOTING


def test_nobody_can_promote_a_version_that_does_not_answer() -> None:
    seen = Observation(commanded=RolloutCommand.PROMOTE, challenger_ready=False)
    assert after(status(), seen).event == "refused"


def test_a_pause_keeps_weights_and_a_resumed_step_has_its_whole_time_again() -> None:
    paused = after(status(), Observation(commanded=RolloutCommand.PAUSE)).status
    assert paused.weights == {CHALLENGER: 10, CHAMPION: 90}
    assert after(paused, look()).status == paused
    resumed = after(paused, Observation(commanded=RolloutCommand.RESUME)).status
    assert (resumed.step_started_at, resumed.paused_reason) == (LATER, None)
    assert after(resumed, look(), LATER + 9).status.step == 1


def test_what_was_seen_at_another_moment_moves_nothing() -> None:
    given = status(step=2, weight=50)
    assert after(given, look(of=status().mark)).status == given
    assert after(given, look(of=given.mark)).status.step == 3


def test_what_was_seen_at_another_rollout_cannot_even_abort() -> None:
    fresh = begin("r2", "m", CHAMPION, 3, START, "ann", "")
    old = Observation(of=status().mark, commanded=RolloutCommand.ABORT, guards=(GUARD,))
    assert after(fresh, old).status == fresh


def test_a_good_version_goes_all_the_way_on_what_was_measured() -> None:
    current, now, events = begin("r1", "m", CHAMPION, CHALLENGER, START, "ann", ""), START, []
    for seen in (
        Observation(gates=(gate(),)),
        Observation(samples=5),
        look(samples=7),
        look(samples=8),
        Observation(samples=9),
        Observation(serving=CHALLENGER),
    ):
        now += 10
        decision = after(current, seen.model_copy(update={"of": current.mark}), now)
        current = decision.status
        events.append((decision.event, current.weight))
    assert events == [
        ("step", 0),
        ("step", 10),
        ("step", 50),
        ("step", 100),
        ("promote", 100),
        ("succeeded", 100),
    ]
    assert (current.phase, current.sampled, current.forced_by) == (Phase.SUCCEEDED, 24, None)
