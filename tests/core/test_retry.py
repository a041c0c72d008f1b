from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.retry import RetryPolicy

_SECONDS = st.floats(0, 1000)


@given(st.integers(1, 40), _SECONDS, _SECONDS, st.floats(0, 1))
def test_there_is_a_bounded_pause_before_each_attempt_but_the_first(
    attempts: int, base_s: float, most_s: float, chance: float
) -> None:
    policy = RetryPolicy(attempts, base_s, most_s)
    retries = policy.retries(lambda: chance)
    pauses = [retries.pause_s() for _ in range(attempts - 1)]
    for failures, pause_s in enumerate(pauses, 1):
        assert pause_s is not None
        assert 0 <= pause_s <= policy.longest_s(failures) <= most_s
    assert retries.pause_s() is None


@pytest.mark.parametrize("jitter", [True, False])
def test_pauses_double_up_to_the_longest(jitter: bool) -> None:  # noqa: FBT001 - a parameter
    retries = RetryPolicy(None, 0.5, 3.0, jitter=jitter).retries(lambda: 0.5)
    share = 0.5 if jitter else 1.0
    assert [retries.pause_s() for _ in range(5)] == [
        share * longest_s for longest_s in (0.5, 1.0, 2.0, 3.0, 3.0)
    ]


def test_a_policy_without_an_end_goes_on_for_ever() -> None:
    retries = RetryPolicy(None, 1.0, 60.0, jitter=False).retries()
    assert [retries.pause_s() for _ in range(5000)][-1] == 60.0


@given(_SECONDS, _SECONDS)
def test_the_other_sides_pause_is_kept_or_nothing_is_tried(after_s: float, most_s: float) -> None:
    pause_s = RetryPolicy(2, 0.1, most_s).retries().pause_s(after_s=after_s)
    assert (pause_s is None) == (after_s > most_s)
    assert pause_s is None or pause_s >= after_s


@given(_SECONDS, _SECONDS)
def test_an_attempt_that_would_begin_too_late_is_not_made(base_s: float, left_s: float) -> None:
    pause_s = RetryPolicy(2, base_s, 1000.0, jitter=False).retries().pause_s(left_s=left_s)
    assert pause_s == (base_s if base_s < left_s else None)
