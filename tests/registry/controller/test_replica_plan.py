from __future__ import annotations

import pytest
from enginehouse.registry.controller.replica_plan import (
    Actual,
    ReplicaTarget,
    StepKind,
    actual_of,
    next_step,
)

_PARTS = ("m.preprocessing", "m.tensorrt_llm", "m.postprocessing")


def _holding(*versions: int, **rest: object) -> Actual:
    return Actual(parts={part: frozenset(versions) for part in _PARTS}, **rest)  # type: ignore[arg-type]


def _wanted(
    *versions: int, champion: int | None = 1, challenger: int | None = None
) -> ReplicaTarget:
    return ReplicaTarget(frozenset(versions), champion, challenger)


@pytest.mark.parametrize(
    ("wanted", "actual", "kind"),
    [
        (_wanted(1), _holding(1, champion=1), None),
        (_wanted(1), Actual(), StepKind.LOAD),
        (_wanted(1, 2), _holding(1, champion=1), StepKind.LOAD),
        (_wanted(1), _holding(1), StepKind.LOAD),
        (_wanted(1, 2, champion=2), _holding(1, 2, champion=1), StepKind.LOAD),
        (_wanted(1), _holding(1, 2, champion=1), StepKind.LOAD),
        (_wanted(1, 2, challenger=2), _holding(1, 2, champion=1), StepKind.POINT_CHALLENGER),
        (_wanted(1, 2, challenger=2), _holding(1, 2, champion=1, challenger=2), None),
        (_wanted(1), _holding(1, 2, champion=1, challenger=2), StepKind.DROP_CHALLENGER),
        (_wanted(1, 3, challenger=3), _holding(1, 2, champion=1, challenger=2),
         StepKind.DROP_CHALLENGER),
        (_wanted(champion=None), _holding(1, champion=1), StepKind.REMOVE),
        (_wanted(champion=None), Actual(), None),
        (_wanted(1), _holding(1, champion=1, dead=frozenset({"m.tensorrt_llm/1"})),
         StepKind.REPAIR),
        (_wanted(1), _holding(1, 2, champion=1, dead=frozenset({"m.tensorrt_llm/2"})),
         StepKind.LOAD),
        (_wanted(1), _holding(1, champion=1, lost=frozenset({"m.whole"})), StepKind.LOAD),
        (_wanted(1, champion=None), _holding(1, lost=frozenset({"m.whole"})), None),
        (_wanted(1), _holding(1, champion=1, dead_names=frozenset({"m.whole/1"})),
         StepKind.DROP_NAME),
    ],
)  # fmt: skip
def test_the_next_step(wanted: ReplicaTarget, actual: Actual, kind: StepKind | None) -> None:
    step = next_step("m", wanted, actual)
    assert (step.kind if step is not None else None) == kind


def test_steps_lead_from_an_empty_replica_to_what_is_wanted() -> None:
    wanted = _wanted(1, 2, champion=2, challenger=1)
    actual = Actual()
    kinds = []
    for _ in range(10):
        step = next_step("m", wanted, actual)
        if step is None:
            break
        kinds.append(step.kind)
        if step.kind is StepKind.LOAD:
            actual = _holding(1, 2, champion=2, challenger=actual.challenger)
        else:
            actual = _holding(1, 2, champion=2, challenger=1)
    assert kinds == [StepKind.LOAD, StepKind.POINT_CHALLENGER]


def test_a_version_with_a_missing_or_dead_part_is_not_ready() -> None:
    index = [
        ("m.preprocessing", "1", "READY"),
        ("m.tensorrt_llm", "1", "READY"),
        ("m.postprocessing", "1", "UNAVAILABLE"),
        ("other.tensorrt_llm", "7", "READY"),
    ]
    actual = actual_of("m", index, {"m": 1}, frozenset())
    assert actual.ready("m", embedding=False) == frozenset()
    whole = [*index, ("m.postprocessing", "1", "READY")]
    assert actual_of("m", whole, {}, frozenset()).ready("m", embedding=False) == {1}
    dead = frozenset({"m.tensorrt_llm/1"})
    assert actual_of("m", whole, {}, dead).ready("m", embedding=False) == frozenset()


def test_an_embedding_model_is_one_triton_model_without_an_alias() -> None:
    wanted = ReplicaTarget(frozenset({2}), 2, embedding=True)
    step = next_step("m", wanted, Actual(parts={"m": frozenset({1})}))
    assert step is not None
    assert step.kind is StepKind.LOAD
    assert next_step("m", wanted, Actual(parts={"m": frozenset({2})})) is None


def test_a_name_beside_the_parts_is_missed_and_found_dead() -> None:
    index = [("m", "1", "READY"), ("ensemble", "1", "READY"), ("m.whole", "1", "UNAVAILABLE")]
    beside = ("ensemble", "m.whole", "m")
    actual = actual_of("m", index, {"m": 1}, frozenset({"ensemble/1", "n.whole/1"}), beside)
    assert actual.lost == {"m.whole"}
    assert actual.dead_names == {"ensemble/1"}
    # Before the model's own name is there, everything is still to be loaded.
    assert actual_of("m", index[1:], {}, frozenset(), beside).lost == frozenset()
