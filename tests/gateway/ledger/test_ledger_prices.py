from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from enginehouse.api.call import ServedBy
from enginehouse.gateway.ledger.config import LedgerConfig
from enginehouse.gateway.ledger.prices import PriceTable, Rates
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

_TOKENS = st.integers(0, 2_000_000)
_PRICE = st.integers(0, 100_000_000)


def _table(*prices: dict[str, object], **rest: object) -> PriceTable:
    return PriceTable.of(LedgerConfig.model_validate({"prices": prices, **rest}))


def _served(version: int | None = 7, source: str = "engine", model: str = "smollm2") -> ServedBy:
    return ServedBy(model, version, None, source)


@given(prompt=_TOKENS, cached=_TOKENS, completion=_TOKENS, prices=st.tuples(_PRICE, _PRICE, _PRICE))
def test_cost_is_the_exact_sum_rounded_once(
    prompt: int, cached: int, completion: int, prices: tuple[int, int, int]
) -> None:
    found = Rates(*prices).cost_micros(prompt + cached, cached, completion)
    exact = sum(
        Decimal(count) * price
        for count, price in zip((prompt, cached, completion), prices, strict=True)
    )
    assert found == (exact / 1_000_000).quantize(Decimal(1), ROUND_HALF_UP)


def test_the_most_specific_price_counts_whatever_the_order() -> None:
    prices = [
        {"prompt_per_million": "1"},
        {"version": 7, "prompt_per_million": "2"},
        {"model": "smollm2", "prompt_per_million": "3"},
        {"model": "smollm2", "version": 7, "prompt_per_million": "4"},
    ]
    for table in (_table(*prices), _table(*reversed(prices))):
        found = [
            table.rates(_served()),
            table.rates(_served(8)),
            table.rates(_served(7, model="other")),
            table.rates(_served(8, model="other")),
        ]
        assert [rates and rates.prompt_micros for rates in found] == [
            4_000_000, 3_000_000, 2_000_000, 1_000_000,
        ]  # fmt: skip


def test_a_price_of_ours_never_prices_a_provider() -> None:
    table = _table(
        {"prompt_per_million": "1"}, {"provider": "elsewhere", "prompt_per_million": "9"}
    )
    elsewhere = table.rates(_served(None, "provider:elsewhere"))
    assert elsewhere is not None
    assert elsewhere.prompt_micros == 9_000_000
    assert table.rates(_served(None, "provider:unpriced")) is None


@pytest.mark.parametrize(("policy", "cost"), [("free", 0), ("full", 5)])
def test_an_answer_of_the_cache_costs_what_the_policy_says(policy: str, cost: int) -> None:
    table = _table({"prompt_per_million": "5"}, cached_answers=policy)
    rates = table.rates(_served(source="cache"))
    assert rates is not None
    assert rates.cost_micros(1, 0, 0) == cost


def test_tokens_of_the_engines_cache_have_their_own_price() -> None:
    table = _table({"prompt_per_million": "4", "cached_prompt_per_million": "1"})
    rates = table.rates(_served())
    assert rates is not None
    assert rates.cost_micros(100, 60, 0) == 40 * 4 + 60


def test_two_prices_of_the_same_thing_are_refused() -> None:
    with pytest.raises(ValidationError, match="two prices for model 'smollm2'"):
        _table({"model": "smollm2"}, {"model": "smollm2"})
