"""Whose turn it is, under a virtual clock."""

from __future__ import annotations

import pytest
from enginehouse.gateway.limits.config import FairShareConfig
from enginehouse.gateway.limits.fair_share import FairShare, Ticket, level_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.limits.simulation import Arrival, Simulation, p95, waits

_LOW, _NORMAL, _HIGH = 0, 1, 2
#: Without the rule that keeps some slots free, and without ageing.
_PLAIN = FairShareConfig(most_share=1.0, age_s=1e6)


def _flood(tenant: str, count: int, **fields: object) -> list[Arrival]:
    return [Arrival(0.0, tenant, **fields) for _ in range(count)]  # type: ignore[arg-type]


def test_calls_go_at_once_while_there_are_slots():
    outcomes = Simulation(8, _PLAIN).run(_flood("a", 8))
    assert [one.wait_s for one in outcomes] == [0.0] * 8


def test_shares_follow_the_weights():
    simulation = Simulation(4, _PLAIN)
    arrivals = [
        arrival
        for tenant, weight in (("a", 1.0), ("b", 2.0), ("c", 5.0))
        for arrival in _flood(tenant, 2000, weight=weight)
    ]
    simulation.run(arrivals, until=500.0)
    total = sum(simulation.served.values())
    shares = [simulation.served[tenant] / total for tenant in "abc"]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.01)


def test_shares_are_of_tokens_not_of_calls():
    simulation = Simulation(4, _PLAIN)
    simulation.run(_flood("long", 500, tokens=1000) + _flood("short", 5000, tokens=50), 500.0)
    assert simulation.served["long"] == pytest.approx(simulation.served["short"], rel=0.1)


def test_who_asks_for_more_than_it_takes_gets_its_share_all_the_same():
    simulation = Simulation(4, _PLAIN)
    careful = _flood("careful", 5000, tokens=50)
    generous = _flood("generous", 5000, tokens=50, expected=200)
    simulation.run(careful + generous, 300.0)
    assert simulation.served["generous"] >= 0.8 * simulation.served["careful"]


def test_a_flood_of_one_tenant_hardly_moves_the_queue_of_another():
    def steady() -> list[Arrival]:
        return [Arrival(5.0 + 0.5 * index, "steady") for index in range(100)]

    config = FairShareConfig()
    alone = p95(waits(Simulation(8, config).run(steady()), "steady"))
    crowd = Simulation(8, config).run(steady() + _flood("flood", 2000))
    assert alone == 0.0
    assert p95(waits(crowd, "steady")) == 0.0
    assert p95(waits(crowd, "flood")) > 100


def test_a_flood_of_long_calls_leaves_slots_for_who_comes():
    arrivals = [Arrival(0.0, "other"), *_flood("flood", 100, tokens=100_000)]
    arrivals += [Arrival(10.0 + index, "other") for index in range(20)]
    outcomes = Simulation(8, FairShareConfig()).run(arrivals)
    assert max(waits(outcomes, "other")) == 0.0


def test_one_tenant_alone_has_all_the_slots():
    simulation = Simulation(8, FairShareConfig())
    assert sum(one.wait_s == 0.0 for one in simulation.run(_flood("a", 20))) == 8


def test_without_reserve_a_newcomer_waits_for_one_call_not_for_the_flood():
    arrivals = [*_flood("flood", 1000), Arrival(2.5, "new")]
    (wait,) = waits(Simulation(4, _PLAIN).run(arrivals), "new")
    assert wait <= 1.0


def test_a_tenant_that_was_away_has_no_savings():
    simulation = Simulation(1, _PLAIN)
    back = [Arrival(100.0, "back") for _ in range(50)]
    outcomes = simulation.run([Arrival(0.0, "back"), *_flood("busy", 300), *back])
    begun = sorted(
        (one.arrival.at + one.wait_s, one.arrival.tenant)
        for one in outcomes
        if one.wait_s is not None and one.arrival.at + one.wait_s >= 100
    )
    first = [tenant for _, tenant in begun[:20]]
    assert 9 <= first.count("back") <= 11


def test_higher_classes_go_first():
    arrivals = [*_flood("a", 1), *_flood("low", 5, level=_LOW)]
    arrivals += [*_flood("normal", 5), *_flood("high", 5, level=_HIGH)]
    outcomes = Simulation(1, _PLAIN).run(arrivals)
    assert max(waits(outcomes, "high")) < min(waits(outcomes, "normal"))
    assert max(waits(outcomes, "normal")) < min(waits(outcomes, "low"))


def test_the_lowest_class_does_not_starve():
    config = FairShareConfig(most_share=1.0, age_s=5.0)
    high = [Arrival(0.5 * index, "high", level=_HIGH) for index in range(400)]
    outcomes = Simulation(1, config).run([*high, Arrival(1.0, "low", level=_LOW)], until=190.0)
    (wait,) = waits(outcomes, "low")
    assert wait <= 2 * config.age_s + 2


def test_a_tenants_calls_of_one_class_go_in_their_order():
    outcomes = Simulation(2, _PLAIN).run([Arrival(0.01 * i, "a") for i in range(50)])
    begun = [one.arrival.at + (one.wait_s or 0.0) for one in outcomes]
    assert begun == sorted(begun)


def test_a_wide_call_is_not_passed_by():
    arrivals = [*_flood("a", 40), Arrival(0.0, "wide", width=4)]
    arrivals += [Arrival(0.1 * index, "b") for index in range(100)]
    (wait,) = waits(Simulation(4, _PLAIN).run(arrivals), "wide")
    assert wait <= 3.0


def test_a_call_wider_than_all_slots_still_has_its_turn():
    outcomes = Simulation(2, FairShareConfig()).run([*_flood("a", 3), Arrival(0.0, "b", width=9)])
    assert all(one.wait_s is not None for one in outcomes)


def test_who_leaves_the_queue_leaves_nothing_behind():
    share = FairShare(_PLAIN, 1)
    first, second, third = (Ticket("a", 10) for _ in range(3))
    for ticket in (first, second, third):
        share.offer(ticket, 0.0)
    assert share.next(0.0) is first
    share.leave(second, 1.0)
    share.leave(first, 1.0)
    assert share.next(1.0) is third
    share.finish(third, 2.0, 10)
    assert (share.used, share.waiting, share._tenants["a"].tickets) == (0, 0, 0)


def test_the_wait_is_predicted_well_and_too_long_ones_are_refused_at_once():
    simulation = Simulation(4, _PLAIN, most_s=10.0)
    warm = [Arrival(0.0, "warm") for _ in range(4)]
    burst = [Arrival(50.0, "a") for _ in range(200)]
    outcomes = [one for one in simulation.run(warm + burst) if one.arrival.tenant == "a"]
    refused = [one for one in outcomes if one.wait_s is None]
    served = [one.wait_s for one in outcomes if one.wait_s is not None]
    assert len(served) == pytest.approx(40, abs=5)
    assert max(served) <= 11.0
    assert all(one.predicted_s > 10.0 for one in refused)


def test_a_flood_that_is_refused_does_not_have_others_refused():
    simulation = Simulation(4, FairShareConfig(), most_s=5.0)
    warm = [Arrival(0.0, "warm") for _ in range(4)]
    flood = [Arrival(10.0 + 0.01 * index, "flood") for index in range(3000)]
    others = [Arrival(12.0 + index, "other") for index in range(20)]
    outcomes = simulation.run(warm + flood + others)
    assert any(o.wait_s is None for o in outcomes if o.arrival.tenant == "flood")
    assert len(waits(outcomes, "other")) == 20


def test_nothing_is_kept_of_tenants_that_have_gone():
    config = FairShareConfig(about_s=10.0)
    simulation = Simulation(2, config)
    simulation.run([Arrival(0.5 * index, f"t{index}") for index in range(500)])
    assert len(simulation.share._tenants) <= 30
    assert len(simulation.share._about) <= 30


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.builds(
            Arrival,
            at=st.floats(0, 20),
            tenant=st.sampled_from("abc"),
            tokens=st.integers(1, 500),
            expected=st.integers(1, 500),
            weight=st.sampled_from([0.5, 1.0, 4.0]),
            level=st.integers(0, 2),
            width=st.integers(1, 5),
        ),
        max_size=60,
    )
)
def test_everybody_has_a_turn_and_nothing_is_left(arrivals: list[Arrival]):
    simulation = Simulation(4, FairShareConfig())
    outcomes = simulation.run(arrivals)
    assert all(one.wait_s is not None for one in outcomes)
    assert (simulation.share.used, simulation.share.waiting) == (0, 0)


def test_classes_follow_the_engines_priorities():
    assert [level_of(priority) for priority in (-10, 0, 10)] == [_LOW, _NORMAL, _HIGH]
