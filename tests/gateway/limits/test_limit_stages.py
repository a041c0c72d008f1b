"""The stages that keep limits, one call at a time and a hundred at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest
from enginehouse.api.call import Answered, Call, ServedBy
from enginehouse.api.caller import Caller
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.stages import RequestLimits, TokenLimits

from enginehouse.errors import (
    BudgetError,
    ContextOverflowError,
    EngineUnavailableError,
    RateLimitError,
)
from tests.gateway.limits.calls import (
    Ledger,
    Shared,
    answered,
    behind,
    engine,
    failing,
    text_call,
    vector_call,
)


def _shared(ledger: Ledger | None = None, price=None, **default: object) -> Shared:
    return Shared(LimitsConfig.model_validate({"default": default}), ledger=ledger, price=price)


def test_requests_beyond_the_limit_are_refused_with_headers_and_a_time():
    async def work() -> None:
        shared = _shared(requests_per_minute=2, tokens_per_minute=1000)
        stage = RequestLimits(shared.limits)
        for left in ("1", "0"):
            call = text_call()
            await answered(stage, call)
            assert call.response_headers["x-ratelimit-remaining-requests"] == left
            assert call.response_headers["x-ratelimit-limit-tokens"] == "1000"
        call = text_call()
        with pytest.raises(RateLimitError, match="2 requests a minute") as caught:
            await answered(stage, call)
        assert caught.value.retry_after_s > 50
        assert call.response_headers["x-ratelimit-remaining-requests"] == "0"
        assert shared.refused("default", "requests") == 1

    asyncio.run(work())


def test_without_limits_there_are_no_headers_and_the_ledger_is_not_asked():
    async def work() -> None:
        shared = _shared()
        call = text_call()
        await answered(RequestLimits(shared.limits), call)
        await answered(TokenLimits(shared.limits), call)
        assert call.response_headers == {}
        assert shared.ledger.reads == []

    asyncio.run(work())


def test_a_hundred_callers_never_hold_more_places_than_there_are():
    async def work() -> None:
        stage, now, most = RequestLimits(_shared(concurrent=7).limits), 0, 0
        gate = asyncio.Event()

        async def busy(call: Call) -> AsyncGenerator[TextChunk, None]:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await gate.wait()
            now -= 1
            yield TextChunk("a", [1])

        tasks = [asyncio.create_task(answered(stage, text_call(), busy)) for _ in range(100)]
        await asyncio.sleep(0)
        gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert most == 7
        assert sum(isinstance(one, RateLimitError) for one in found) == 93
        assert await answered(stage, text_call(), busy) == 1

    asyncio.run(work())


@pytest.mark.parametrize("end", ["answer", "error", "gone", "cancelled"])
def test_a_place_is_given_back_however_a_call_ends(end: str):
    async def work() -> None:
        stage = RequestLimits(_shared(concurrent=1).limits)
        if end == "answer":
            await answered(stage, text_call())
        elif end == "error":
            with pytest.raises(EngineUnavailableError):
                await answered(stage, text_call(), failing(EngineUnavailableError("gone")))
        elif end == "gone":
            async with aclosing(behind(stage, text_call(), engine())) as pieces:
                await anext(pieces)
        else:

            async def for_ever(call: Call) -> AsyncGenerator[TextChunk, None]:
                await asyncio.Event().wait()
                yield TextChunk("")

            task = asyncio.create_task(answered(stage, text_call(), for_ever))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await answered(stage, text_call())

    asyncio.run(work())


def test_a_hundred_callers_never_reserve_more_tokens_than_the_limit():
    async def work() -> None:
        shared = _shared(tokens_per_minute=1000)
        stage = TokenLimits(shared.limits)
        used = 0

        async def whole(call: Call) -> AsyncGenerator[TextChunk, None]:
            nonlocal used
            used += 30
            async with aclosing(engine(20)(call)) as pieces:
                async for piece in pieces:
                    await asyncio.sleep(0)
                    yield piece

        calls = [answered(stage, text_call(10, 20), whole) for _ in range(100)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert used == 990
        assert sum(isinstance(one, RateLimitError) for one in found) == 67

    asyncio.run(work())


def _left(call: Call) -> int:
    return int(call.response_headers["x-ratelimit-remaining-tokens"])


async def _left_after(shared: Shared) -> int:
    call = text_call()
    await answered(RequestLimits(shared.limits), call)
    return _left(call)


def test_what_an_answer_did_not_take_is_given_back():
    async def work() -> None:
        shared = _shared(tokens_per_minute=1000)
        call = text_call(10, 500)
        await answered(TokenLimits(shared.limits), call, engine(5))
        assert _left(call) == 490
        assert await _left_after(shared) == 985

    asyncio.run(work())


def test_a_call_that_failed_before_its_answer_takes_no_tokens():
    async def work() -> None:
        shared = _shared(tokens_per_minute=1000)
        with pytest.raises(EngineUnavailableError):
            await answered(
                TokenLimits(shared.limits), text_call(), failing(EngineUnavailableError("gone"))
            )
        assert await _left_after(shared) == 1000

    asyncio.run(work())


def test_an_answer_without_bound_reserves_a_part_and_is_charged_as_it_grows():
    async def work() -> None:
        shared = Shared(
            LimitsConfig.model_validate(
                {"default": {"tokens_per_minute": 1000}, "reserve_tokens": 100}
            )
        )
        call = text_call(10, 8000, bounded=False)
        stage = TokenLimits(shared.limits)
        async with aclosing(behind(stage, call, engine(400))) as pieces:
            await anext(pieces)
            assert _left(call) == 890
            for _ in range(299):
                await anext(pieces)
            assert 690 <= await _left_after(shared) < 690 + 64
        # The client is gone: what was generated is charged.
        assert await _left_after(shared) == 690

    asyncio.run(work())


def test_a_call_that_can_never_fit_is_told_what_to_change():
    async def work() -> None:
        stage = TokenLimits(_shared(tokens_per_minute=20).limits)
        with pytest.raises(RateLimitError, match="lower max_tokens"):
            await answered(stage, text_call(10, 20))

    asyncio.run(work())


def test_a_prompt_beyond_the_context_is_the_callers_mistake():
    async def work() -> None:
        shared = _shared(context_tokens=10)
        await answered(TokenLimits(shared.limits), text_call(10))
        with pytest.raises(ContextOverflowError, match="11 tokens") as caught:
            await answered(TokenLimits(shared.limits), text_call(11))
        assert caught.value.field == "messages"
        with pytest.raises(ContextOverflowError) as caught:
            await answered(RequestLimits(shared.limits), vector_call(11))
        assert caught.value.field == "input"

    asyncio.run(work())


def test_tokens_of_vectors_are_counted_outside():
    async def work() -> None:
        shared = _shared(tokens_per_minute=100)

        async def embed(call: Call) -> AsyncGenerator[TextChunk, None]:
            assert _left(call) == 60
            assert call.answered is not None
            call.answered.used = Usage(33)
            yield TextChunk("")

        await answered(RequestLimits(shared.limits), vector_call(40), embed)
        assert await _left_after(shared) == 67
        with pytest.raises(RateLimitError, match="68 tokens"):
            await answered(RequestLimits(shared.limits), vector_call(68), embed)

    asyncio.run(work())


def test_tokens_of_a_providers_answer_are_counted_outside():
    async def work() -> None:
        shared = _shared(tokens_per_minute=100)

        async def provider(call: Call) -> AsyncGenerator[TextChunk, None]:
            call.answered = Answered(ServedBy("other", None, None, "provider:other"))
            yield TextChunk("a")
            call.answered.used = Usage(20, 5)

        await answered(RequestLimits(shared.limits), text_call(), provider)
        assert await _left_after(shared) == 75

    asyncio.run(work())


def test_two_keys_of_a_tenant_are_limited_each_and_together():
    async def work() -> None:
        config = {
            "tenants": {"t": {"requests_per_minute": 3}},
            "keys": {name: {"requests_per_minute": 2} for name in ("a", "b")},
        }
        stage = RequestLimits(Shared(LimitsConfig.model_validate(config)).limits)

        async def passes(key: str) -> bool:
            try:
                await answered(stage, text_call(caller=Caller("t", key)))
            except RateLimitError:
                return False
            return True

        assert [await passes(key) for key in "aaabb"] == [True, True, False, True, False]

    asyncio.run(work())


def test_a_wish_above_the_allowed_class_is_lowered():
    async def work() -> None:
        call = text_call(priority=10)
        await answered(RequestLimits(_shared().limits), call)
        assert call.priority == 0
        call = text_call(priority=10)
        await answered(RequestLimits(_shared(most_priority="high").limits), call)
        assert call.priority == 10

    asyncio.run(work())


def test_a_spent_budget_refuses_with_the_time_until_the_next():
    async def work() -> None:
        shared = _shared(Ledger(day_tokens=100), daily_tokens=100)
        with pytest.raises(BudgetError, match="daily_tokens of tenant 'default' is 100") as caught:
            await answered(RequestLimits(shared.limits), text_call())
        assert 0 < caught.value.retry_after_s <= 86400
        assert shared.refused("default", "daily_tokens") == 1

    asyncio.run(work())


def test_a_hundred_callers_never_spend_more_tokens_than_the_budget():
    async def work() -> None:
        shared = _shared(Ledger(day_tokens=100), daily_tokens=1000)
        stage, spent = TokenLimits(shared.limits), 0

        async def slow(call: Call) -> AsyncGenerator[TextChunk, None]:
            nonlocal spent
            async with aclosing(engine(20)(call)) as pieces:
                async for piece in pieces:
                    await asyncio.sleep(0)
                    yield piece
            spent += 30

        calls = [answered(stage, text_call(10, 20), slow) for _ in range(100)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert spent == 900
        assert sum(isinstance(one, BudgetError) for one in found) == 70
        # The ledger was asked once, and what ended here counts until it knows.
        assert shared.ledger.reads == [("default", None)]
        with pytest.raises(BudgetError):
            await answered(stage, text_call(10, 20))

    asyncio.run(work())


def test_money_is_held_back_by_the_price_of_who_answers():
    async def work() -> None:
        def price(served: ServedBy, prompt: int, completion: int) -> float:
            return prompt * 0.01 + completion * 0.1 if served.model == "smollm2" else 0.0

        shared = _shared(Ledger(month_cost=9.0), price, monthly_cost=10.0)
        stage = TokenLimits(shared.limits)
        await answered(stage, text_call(10, 9), engine(5))
        with pytest.raises(BudgetError, match=r"0\.4 of it is left"):
            await answered(stage, text_call(10, 9))
        call = text_call(10, 9)
        assert call.answered is not None
        call.answered.served_by = replace(call.answered.served_by, model="free")
        await answered(stage, call)

    asyncio.run(work())
