"""The window: exact at its bound."""

from __future__ import annotations

import pytest
from enginehouse.gateway.limits.window import PARTS, SlidingWindow
from hypothesis import given
from hypothesis import strategies as st

_S = 60.0


def test_no_window_ever_holds_more_than_its_capacity():
    window, taken = SlidingWindow(100, _S), []
    for tick in range(4000):
        now = tick * 0.1
        if window.reserve(7, now) is not None:
            taken.append((now, 7))
        assert sum(amount for at, amount in taken if at > now - _S) <= 100


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 60)), max_size=60))
def test_any_arrivals_stay_within_every_window(arrivals: list[tuple[float, int]]):
    window, taken, now = SlidingWindow(100, _S), [], 0.0
    for wait, amount in arrivals:
        now += wait
        after = window.retry_after_s(amount, now)
        part = window.reserve(amount, now)
        assert (part is not None) == (after == 0)
        if part is not None:
            taken.append((now, amount))
        inside = sum(amount for at, amount in taken if at > now - _S)
        assert inside <= 100
        assert window.remaining(now) <= 100 - inside


def test_sustained_calls_get_nearly_all_of_the_limit():
    window = SlidingWindow(60, _S)
    taken = sum(window.reserve(1, tick * 0.1) is not None for tick in range(6000))
    assert taken >= 10 * 60 * PARTS / (PARTS + 1) - 1


@given(st.integers(1, 100), st.integers(1, 100), st.floats(0, 59))
def test_after_the_retry_time_it_fits(used: int, amount: int, later: float):
    window = SlidingWindow(100, _S)
    window.reserve(used, 0.5)
    after = window.retry_after_s(amount, later)
    assert window.reserve(amount, later + after + 1e-6) is not None


def test_what_never_fits_says_a_whole_window():
    assert SlidingWindow(10, _S).retry_after_s(11, 0.0) == _S


def test_what_is_given_back_fits_again_at_once():
    window = SlidingWindow(100, _S)
    part = window.reserve(100, 5.0)
    assert part is not None
    window.settle(part, 100, 30, 8.0)
    assert window.remaining(8.0) == 70


def test_giving_back_what_has_left_the_window_makes_no_room():
    window = SlidingWindow(100, _S)
    part = window.reserve(100, 0.0)
    assert part is not None
    window.reserve(100, 90.0)
    window.settle(part, 100, 0, 91.0)
    assert window.remaining(91.0) == 0


def test_what_was_used_in_addition_counts_from_now():
    window = SlidingWindow(100, _S)
    part = window.reserve(10, 0.0)
    assert part is not None
    window.settle(part, 10, 150, 50.0)
    assert window.remaining(50.0) == 0
    assert window.retry_after_s(1, 50.0) > 50


@pytest.mark.parametrize("used", [0, 40])
def test_it_is_whole_again_when_the_newest_part_leaves(used: int):
    window = SlidingWindow(100, _S)
    window.reserve(used, 10.0)
    assert window.reset_s(20.0) == pytest.approx(51.0 if used else 0.0)
    assert window.remaining(20.0 + window.reset_s(20.0)) == 100
