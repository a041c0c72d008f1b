from __future__ import annotations

from enginehouse.registry.rollouts.decide import decide
from enginehouse.registry.rollouts.spec import RolloutStep
from enginehouse.registry.rollouts.state import (
    GuardResult,
    Observation,
    Phase,
    RolloutCommand,
    RolloutStatus,
    Verdict,
    begin,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.registry.rollouts.builders import (
    CHALLENGER,
    CHAMPION,
    SPEC,
    START,
    gate,
    result,
    status,
)

# Steps without a least time: what only the clock prevents is not prevented here.
HASTY = SPEC.model_copy(
    update={
        "steps": tuple(
            RolloutStep(weight=step.weight, min_duration_s=0, min_samples=5) for step in SPEC.steps
        )
    }
)
NAMES = ["error_rate", "ttft", "feedback"]
LIKELY_PASS = st.sampled_from([*Verdict, *[Verdict.PASS] * 8])
ANALYSES = st.lists(
    st.builds(result, name=st.sampled_from(NAMES), verdict=LIKELY_PASS),
    max_size=3,
    unique_by=lambda r: r.name,
).map(tuple)
ALL_PASSED = st.just(tuple(result(name) for name in NAMES))
GATES = st.one_of(st.none(), st.just(()), st.just((gate(),)), st.just((gate(), gate(Verdict.FAIL))))
OBSERVATIONS = st.builds(
    Observation,
    champion_ready=st.booleans(),
    challenger_ready=st.booleans(),
    serving=st.sampled_from([None, CHAMPION, CHALLENGER]),
    gates=GATES,
    samples=st.integers(0, 20),
    looked=st.booleans(),
    analyses=st.one_of(ALL_PASSED, ANALYSES),
    guards=st.sampled_from([(), (), (), (), (GuardResult(name="crashes", reason="2"),)]),
    commanded=st.sampled_from([None, None, None, None, *RolloutCommand]),
    actor=st.just("ann"),
)
WALKS = st.lists(st.tuples(OBSERVATIONS, st.floats(0, 15)), max_size=25)


def walk(steps: list[tuple[Observation, float]]) -> list[RolloutStatus]:
    """Every status of a rollout that meets these observations."""
    now, current = START, begin("r1", "m", CHAMPION, CHALLENGER, START, "ann", "")
    seen = [current]
    for observation, lasts_s in steps:
        now += lasts_s
        current = decide(HASTY, current, observation, now).status
        seen.append(current)
    return seen


@given(WALKS)
def test_weights_always_sum_to_all(steps: list[tuple[Observation, float]]) -> None:
    for current in walk(steps):
        assert sum(current.weights.values()) == 100
        assert set(current.weights) <= {CHAMPION, CHALLENGER}
        assert all(share >= 0 for share in current.weights.values())


@given(WALKS)
def test_nothing_succeeds_without_samples_unless_forced(
    steps: list[tuple[Observation, float]],
) -> None:
    for current in walk(steps):
        if current.phase in {Phase.PROMOTING, Phase.SUCCEEDED} and current.forced_by is None:
            assert current.judged
            assert current.sampled >= sum(s.min_samples for s in HASTY.steps if s.weight)


@given(WALKS)
def test_an_abort_is_never_taken_back(steps: list[tuple[Observation, float]]) -> None:
    reason = None
    for current in walk(steps):
        if reason is not None:
            assert current.abort_reason == reason
            assert current.phase is not Phase.SUCCEEDED
        reason = current.abort_reason


@given(WALKS)
def test_an_abort_reaches_the_champion_from_everywhere(
    steps: list[tuple[Observation, float]],
) -> None:
    current = walk(steps)[-1]
    if current.phase.active:
        command = Observation(commanded=RolloutCommand.ABORT)
        done = decide(HASTY, current, command, START + 10_000).status
        assert done.phase is Phase.ABORTED
        assert done.weights == {CHAMPION: 100}


@given(WALKS, OBSERVATIONS)
def test_a_replay_changes_nothing_more(
    steps: list[tuple[Observation, float]], observation: Observation
) -> None:
    current = walk(steps)[-1]
    marked = observation.model_copy(update={"of": current.mark})
    now = START + sum(lasts_s for _, lasts_s in steps)
    first = decide(HASTY, current, marked, now).status
    again = decide(HASTY, first, marked, now)
    assert again.status == first
    assert not again.changed


@given(st.sampled_from(list(Phase)), OBSERVATIONS)
def test_a_new_challenger_begins_anew(phase: Phase, observation: Observation) -> None:
    over = status(phase, sampled=500, judged=True, abort_reason="old", forced_by="bob", looks=3)
    fresh = begin("r2", "m", CHAMPION, 3, START, "ann", "")
    assert (fresh.phase, fresh.weights) == (Phase.PREPARING, {CHAMPION: 100})
    assert (fresh.sampled, fresh.judged, fresh.abort_reason, fresh.forced_by, fresh.looks) == (
        0,
        False,
        None,
        None,
        0,
    )
    late = observation.model_copy(update={"of": over.mark})
    assert decide(HASTY, fresh, late, START).status == fresh
