from __future__ import annotations

import pytest
from enginehouse.registry.rollouts.guards import check_guards
from enginehouse.registry.rollouts.spec import Guards

from enginehouse.traffic.samples import Outcome, RequestSample
from tests.registry.rollouts.builders import CHALLENGER

GUARDS = Guards(error_burst=5, error_window=10, ttft_p99_s=1.0, total_p99_s=10.0, crashes=2)


def sample(outcome: Outcome = Outcome.OK, **values: object) -> RequestSample:
    base = RequestSample(at=0, request_id="q", model="m", version=CHALLENGER, outcome=outcome)
    return base.model_copy(update={"ttft_s": 0.1, "total_s": 1.0} | values)


def names(samples: list[RequestSample], crashes: int = 0, guards: Guards = GUARDS) -> list[str]:
    return [broken.name for broken in check_guards(guards, samples, crashes)]


def test_good_requests_and_none_at_all_break_no_guard() -> None:
    assert names([]) == []
    assert names([sample()] * 200, crashes=1) == []


@pytest.mark.parametrize(("errors", "broken"), [(4, []), (5, ["error_burst"])])
def test_a_burst_of_errors(errors: int, broken: list[str]) -> None:
    newest = [sample()] * 30 + [sample(Outcome.ERROR)] * errors
    assert names(newest) == broken


def test_a_burst_is_over_when_it_has_left_the_window() -> None:
    assert names([sample(Outcome.ERROR)] * 5 + [sample()] * 10) == []


def test_a_version_that_fails_from_its_first_request_needs_no_full_window() -> None:
    assert names([sample(Outcome.ERROR)] * 5) == ["error_burst"]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.CANCELLED, Outcome.OVERLOADED])
def test_what_the_version_is_not_to_blame_for_is_no_error(outcome: Outcome) -> None:
    assert names([sample(outcome)] * 50) == []
    assert names([sample(Outcome.ERROR)] * 5 + [sample(outcome)] * 50) == ["error_burst"]


def test_shadow_copies_count_and_pinned_requests_do_not() -> None:
    assert names([sample(Outcome.ERROR, shadow=True)] * 5) == ["error_burst"]
    assert names([sample(Outcome.ERROR, pinned=True)] * 5) == []


@pytest.mark.parametrize(("field", "name"), [("ttft_s", "ttft_p99"), ("total_s", "total_p99")])
def test_ceilings_take_the_last_200_and_at_least_50(field: str, name: str) -> None:
    slow = sample(**{field: 60.0})
    assert names([slow] * 49) == []
    assert names([slow] * 50) == [name]
    assert names([slow] * 50 + [sample()] * 200) == []
    assert names([slow] * 50, guards=Guards()) == []


def test_a_guard_says_what_it_saw() -> None:
    (broken,) = check_guards(GUARDS, [sample(ttft_s=2.5)] * 60)
    assert broken.reason == "p99 of the last 60 is 2.5 s, the ceiling 1 s"


def test_crashes() -> None:
    (broken,) = check_guards(GUARDS, [], crashes=2)
    assert broken.name == "crashes"
    assert "2 times" in broken.reason
