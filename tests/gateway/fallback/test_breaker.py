from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from enginehouse.gateway.fallback.breaker import Breaker, BreakerState, Permit
from enginehouse.gateway.fallback.config import BreakerConfig
from hypothesis import given
from hypothesis import strategies as st

_CONFIG = BreakerConfig(failure_rate=0.5, minimum_calls=4, window_s=10, open_s=5, probes=2)
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@dataclass
class Told:
    """Does what a line of a table says: ``ok``, ``fail``, ``gone``, ``probe``, or ``+seconds``."""

    breaker: Breaker = field(default_factory=lambda: Breaker(_CONFIG))
    now: float = 1000.0
    probes: list[Permit] = field(default_factory=list)

    def run(self, script: str) -> Told:
        for word in script.split():
            if word.startswith("+"):
                self.now += float(word)
            elif word == "probe":
                permit = self.breaker.permit(self.now)
                assert permit is not None, word
                self.probes.append(permit)
            elif word == "broke":
                self.breaker.broke(self.now)
            else:
                failed = {"ok": False, "fail": True, "gone": None}[word]
                permit = self.probes.pop(0) if self.probes else self.breaker.permit(self.now)
                assert permit is not None, word
                self.breaker.settle(permit, self.now, failed=failed)
        return self

    @property
    def state(self) -> BreakerState:
        return self.breaker.state(self.now)

    @property
    def lets(self) -> bool:
        return self.breaker.permit(self.now) is not None


@pytest.mark.parametrize(
    ("script", "state", "lets"),
    [
        ("", CLOSED, True),
        ("fail fail fail", CLOSED, True),  # fewer than minimum_calls
        ("ok ok fail fail", OPEN, False),
        ("ok ok ok fail", CLOSED, True),  # under the rate
        ("fail fail +11 fail fail", CLOSED, True),  # the first two are out of the window
        ("gone gone gone gone fail", CLOSED, True),  # who has gone says nothing
        ("ok ok ok ok broke", CLOSED, True),
        ("ok ok ok ok broke broke", OPEN, False),
        ("fail fail fail fail +4.9", OPEN, False),
        ("fail fail fail fail +5", HALF_OPEN, True),
        ("fail fail fail fail +5 probe probe", HALF_OPEN, False),
        ("fail fail fail fail +5 probe ok", HALF_OPEN, True),
        ("fail fail fail fail +5 ok ok", CLOSED, True),
        ("fail fail fail fail +5 ok ok fail", CLOSED, True),  # it has forgotten what was before
        ("fail fail fail fail +5 ok fail", OPEN, False),
        ("fail fail fail fail +5 ok fail +5", HALF_OPEN, True),
        ("fail fail fail fail +5 probe probe gone", HALF_OPEN, True),  # its place is free again
        ("fail fail fail fail +5 ok broke", OPEN, False),
    ],
)
def test_states_follow_the_calls(script: str, state: BreakerState, *, lets: bool) -> None:
    told = Told().run(script)
    assert (told.state, told.lets) == (state, lets)


def test_a_call_from_before_the_opening_says_nothing_of_the_probes() -> None:
    told = Told()
    late = told.breaker.permit(told.now)
    assert late is not None
    told.run("fail fail fail fail +5 probe")
    told.breaker.settle(late, told.now, failed=True)
    assert told.state is HALF_OPEN
    told.run("ok ok")
    assert told.state is CLOSED


@given(st.lists(st.sampled_from(["ok", "fail", "gone", "broke", "+1", "+6"]), max_size=60))
def test_a_target_is_never_left_alone_for_longer_than_it_is_open(words: list[str]) -> None:
    told = Told()
    for word in words:
        if word.startswith("+") or word == "broke" or told.state is not OPEN:
            told.run(word)
    told.now += _CONFIG.open_s
    assert told.lets
