from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from enginehouse.api.schemas import ChatRequest
from enginehouse.api.treatment import treated, with_prompt
from scipy import stats

from enginehouse.traffic import ExperimentArm, ExperimentRoute
from enginehouse.traffic.treatments import arm_of, takes_part, treatment_of

ARMS = (
    ExperimentArm(name="control", weight=1),
    ExperimentArm(name="warm", weight=1, sampling={"temperature": 0.9, "max_tokens": 64}),
)
USERS = [f"user-{i}" for i in range(4000)]
HELLO = [{"role": "user", "content": "Hello"}]


def route(**changes: object) -> ExperimentRoute:
    return ExperimentRoute.model_validate({"name": "e", "salt": "e-1", "arms": ARMS, **changes})


def user(name: str | None) -> Callable[[str], str | None]:
    return lambda kind: name if kind == "user" else None


def chat(**changes: object) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": HELLO, **changes})


def test_assignment_is_the_same_in_another_process() -> None:
    script = (
        "import sys; from enginehouse.traffic.treatments import arm_of\n"
        "from enginehouse.traffic import ExperimentRoute\n"
        "route = ExperimentRoute.model_validate_json(sys.argv[1])\n"
        "print(*(arm_of(route, f'user-{i}').name for i in range(50)))"
    )
    command = [sys.executable, "-c", script, route().model_dump_json()]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert printed == [arm_of(route(), name).name for name in USERS[:50]]


def test_assignment_is_pinned_for_all_time() -> None:
    # Another hash would move every user of a running experiment to another arm.
    found = [arm_of(route(), name).name for name in USERS[:8]]
    assert " ".join(found) == "control control warm warm warm warm control control"


def test_arms_get_the_shares_of_their_weights() -> None:
    arms = (ExperimentArm(name="a", weight=1), ExperimentArm(name="b", weight=3))
    seen = [arm_of(route(arms=arms), name).name for name in USERS]
    counts = [seen.count("a"), seen.count("b")]
    assert stats.chisquare(counts, [1000, 3000]).pvalue > 0.001


def test_share_and_arm_are_independent_and_a_growing_share_moves_nobody() -> None:
    half, most = route(share=0.5), route(share=0.9)
    inside = [name for name in USERS if takes_part(half, name)]

    assert stats.binomtest(len(inside), len(USERS), 0.5).pvalue > 0.001
    assert all(takes_part(most, name) for name in inside)
    warm = sum(arm_of(half, name).name == "warm" for name in inside)
    assert stats.binomtest(warm, len(inside), 0.5).pvalue > 0.001


def test_another_salt_deals_again() -> None:
    same = sum(arm_of(route(), u).name == arm_of(route(salt="e-2"), u).name for u in USERS)
    assert stats.binomtest(same, len(USERS), 0.5).pvalue > 0.001


def test_who_does_not_say_who_they_are_takes_no_part() -> None:
    assert treatment_of([route()], user(None), HELLO, {1}) is None
    assert treatment_of([route(unit="conversation")], user("ann"), HELLO, {1}) is None
    assert treatment_of([route(unit="request")], user(None), HELLO, {1}) is not None


def test_the_treatment_names_the_unit_by_a_hash() -> None:
    found = treatment_of([route()], user("ann@example.org"), HELLO, {1})
    assert found is not None
    assert "ann" not in found.unit
    assert found.arm == arm_of(route(), "ann@example.org")


def test_an_experiment_with_a_version_that_is_away_takes_nobody() -> None:
    arms = (ARMS[0], ExperimentArm(name="next", weight=1, version=2))
    assert treatment_of([route(arms=arms)], user("ann"), HELLO, {1}) is None
    assert treatment_of([route(arms=arms)], user("ann"), HELLO, {1, 2}) is not None


def test_prompts_are_tried_on_conversations_without_a_system_message_only() -> None:
    arms = (ARMS[0], ExperimentArm(name="kind", weight=1, system_prompt="Be kind."))
    with_system = [{"role": "system", "content": "Be brief."}, *HELLO]

    assert treatment_of([route(arms=arms)], user("ann"), HELLO, {1}) is not None
    assert treatment_of([route(arms=arms)], user("ann"), with_system, {1}) is None
    assert treatment_of([route(arms=arms)], user("ann"), [], {1}) is None


def test_a_request_is_in_one_experiment() -> None:
    first = route(share=0.5)
    second = route(name="f", salt="f-1")
    found = [treatment_of([first, second], user(name), HELLO, {1}) for name in USERS[:200]]
    names = {None if one is None else one.experiment for one in found}
    assert names == {"e", "f"}


@pytest.fixture
def warm() -> str:
    return next(name for name in USERS if arm_of(route(), name).name == "warm")


def test_sampling_fills_what_the_caller_left_out(warm: str) -> None:
    treatment = treatment_of([route()], user(warm), HELLO, {1})

    assert treated(chat(), treatment).temperature == 0.9
    assert treated(chat(), treatment).most_tokens == 64
    assert treated(chat(temperature=0.0), treatment).temperature == 0.0
    assert treated(chat(max_completion_tokens=5), treatment).most_tokens == 5
    assert treated(chat(max_tokens=6), treatment).most_tokens == 6
    body = chat()
    assert treated(body, None) is body


def test_a_prompt_stands_before_the_conversation() -> None:
    arms = tuple(
        ExperimentArm(name=name, weight=1, system_prompt="Be kind.") for name in ("kind", "kinder")
    )
    treatment = treatment_of([route(arms=arms)], user("ann"), HELLO, {1})
    assert with_prompt(HELLO, treatment) == [{"role": "system", "content": "Be kind."}, *HELLO]
    assert with_prompt(HELLO, None) == HELLO
