from __future__ import annotations

import asyncio
import re
import time
from contextlib import aclosing
from typing import Any

import pytest
from enginehouse.api.call import ServedBy
from enginehouse.api.caller import Caller
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.gateway.fallback.config import BreakerConfig, FallbackConfig
from enginehouse.gateway.fallback.metrics import FallbackMetrics
from enginehouse.gateway.fallback.stage import ANSWERED_BY_HEADER, Fallback
from enginehouse.gateway.fallback.targets import Circuits
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from enginehouse.errors import (
    BudgetError,
    ContentBlockedError,
    ContextOverflowError,
    DeadlineError,
    EngineUnavailableError,
    InvalidRequestError,
    ModelNotFoundError,
    QueueFullError,
    ServingError,
)
from tests.gateway.fallback.fallback_calls import OK, Does, Models, call_of, fallback, text_of
from tests.gateway.through import through

DOWN = EngineUnavailableError("down")


def _chain(*targets: dict[str, Any], **chain: Any) -> dict[str, Any]:
    return {"chains": {"m": {"targets": list(targets), **chain}}}


def test_a_call_without_a_chain_goes_its_way_and_the_answer_says_who_gave_it() -> None:
    async def scenario() -> None:
        models, call = Models({"other": OK}), call_of("other")
        async with fallback(**_chain({"model": "m@2"})) as (stage, _):
            assert await text_of(stage, call, models) == "fine"
        assert call.response_headers[ANSWERED_BY_HEADER] == "other@1"
        assert "fallback" not in call.findings

    asyncio.run(scenario())


def test_the_next_target_answers_for_one_that_is_down() -> None:
    async def scenario() -> None:
        models, call = Models({"m": DOWN, "m@2": OK}), call_of()
        async with fallback(**_chain({"model": "m@2"})) as (stage, registry):
            assert await text_of(stage, call, models) == "fine"

        assert models.asked == ["m", "m@2"]
        assert call.served_by == ServedBy("m", 2, None)
        assert call.usage == Usage(3, 2)
        assert call.response_headers[ANSWERED_BY_HEADER] == "m@2"
        assert call.response_headers[VERSION_HEADER] == "2"
        assert call.findings["fallback"] == [{"target": "m", "outcome": "engine_unavailable"}]
        for target, outcome in (("m", "failed"), ("m@2", "answered")):
            labels = {"chain": "m", "target": target, "outcome": outcome}
            assert registry.get_sample_value("enginehouse_fallback_attempts_total", labels) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "on", "taken"),
    [
        (QueueFullError("full"), ["overload"], True),
        (QueueFullError("full"), ["outage"], False),
        (EngineUnavailableError("down"), ["outage"], True),
        (EngineUnavailableError("down"), ["overload"], False),
        (ModelNotFoundError("gone"), ["outage"], True),
        (DeadlineError("slow"), ["outage"], True),
        (ContextOverflowError("long"), ["context"], True),
        (ContextOverflowError("long"), ["overload", "outage"], False),
        (BudgetError("spent"), ["policy"], True),
        (InvalidRequestError("bad"), ["overload", "outage", "context", "policy"], False),
        (ContentBlockedError("bad"), ["overload", "outage", "context", "policy"], False),
    ],
)
def test_a_target_is_taken_only_for_its_reasons(
    error: ServingError, on: list[str], *, taken: bool
) -> None:
    async def scenario() -> None:
        models = Models({"m": error, "big": OK})
        async with fallback(**_chain({"model": "big", "on": on})) as (stage, _):
            if taken:
                assert await text_of(stage, call_of(), models) == "fine"
            else:
                with pytest.raises(type(error), match=re.escape(str(error))):
                    await text_of(stage, call_of(), models)
        assert models.asked == (["m", "big"] if taken else ["m"])

    asyncio.run(scenario())


def test_a_target_with_another_reason_is_passed_over() -> None:
    async def scenario() -> None:
        models = Models({"m": QueueFullError("full"), "b": OK})
        chain = _chain({"model": "a", "on": ["context"]}, {"model": "b"})
        async with fallback(**chain) as (stage, _):
            await text_of(stage, call_of(), models)
        assert models.asked == ["m", "b"]

    asyncio.run(scenario())


def test_if_all_fail_the_caller_hears_of_the_model_that_was_asked_for() -> None:
    async def scenario() -> None:
        models = Models({"m": QueueFullError("mine is full"), "a": DOWN, "b": DOWN})
        call = call_of()
        async with fallback(**_chain({"model": "a"}, {"model": "b"})) as (stage, _):
            with pytest.raises(QueueFullError, match="mine is full"):
                await text_of(stage, call, models)
        assert models.asked == ["m", "a", "b"]
        assert call.served_by == ServedBy("m", 1, None)
        assert ANSWERED_BY_HEADER not in call.response_headers

    asyncio.run(scenario())


def test_nobody_is_asked_after_the_first_piece() -> None:
    async def scenario() -> None:
        models, call = Models({"m": (TextChunk("be"), DOWN), "a": OK}), call_of()
        async with (
            fallback(**_chain({"model": "a"})) as (stage, _),
            aclosing(through(stage, call, models)) as pieces,
        ):
            assert (await anext(pieces)).text == "be"
            assert call.served_by is not None
            with pytest.raises(EngineUnavailableError):
                await anext(pieces)
        assert models.asked == ["m"]
        assert call.usage == Usage(3, 2)

    asyncio.run(scenario())


def test_nobody_is_asked_once_the_caller_has_given_up() -> None:
    async def scenario() -> None:
        models = Models({"m": DOWN, "a": OK})
        call = call_of(deadline=time.monotonic() - 1)
        async with fallback(**_chain({"model": "a"})) as (stage, _):
            with pytest.raises(EngineUnavailableError):
                await text_of(stage, call, models)
        assert models.asked == ["m"]

    asyncio.run(scenario())


def test_a_caller_who_pins_a_version_or_has_another_tenant_takes_no_chain() -> None:
    async def scenario() -> None:
        models = Models({"m": DOWN, "m@1": DOWN, "a": OK})
        async with fallback(**_chain({"model": "a"}, tenants=["gold"])) as (stage, _):
            for call in (call_of("m@1"), call_of("m")):
                with pytest.raises(EngineUnavailableError):
                    await text_of(stage, call, models)
            gold = call_of("m", caller=Caller(tenant="gold", key_id="k"))
            assert await text_of(stage, gold, models) == "fine"

    asyncio.run(scenario())


def test_a_slow_first_piece_passes_the_call_on() -> None:
    async def scenario() -> None:
        models = Models({"m": asyncio.Event(), "a": OK})
        chain = _chain({"model": "a"}, first_piece_timeout_s=0.01)
        async with fallback(**chain) as (stage, _):
            assert await text_of(stage, call_of(), models) == "fine"
        assert models.closed == ["m", "a"]

    asyncio.run(scenario())


@pytest.mark.parametrize("winner", ["m", "a"])
def test_of_two_the_faster_answers_and_the_other_is_closed(winner: str) -> None:
    async def scenario() -> None:
        gates = {"m": asyncio.Event(), "a": asyncio.Event()}
        models, call = Models(dict[str, Does](gates)), call_of()
        async with fallback(**_chain({"model": "a"}, hedge_after_ms=1)) as (stage, registry):
            answering = asyncio.create_task(text_of(stage, call, models))
            await models.two.wait()
            gates[winner].set()

            assert await answering == "fine"

            hedges = "enginehouse_fallback_hedges_total"
            assert registry.get_sample_value(hedges, {"chain": "m"}) == 1
        assert call.response_headers[ANSWERED_BY_HEADER] == f"{winner}@1"
        assert sorted(models.closed) == ["a", "m"]
        assert models.closed[-1] == winner

    asyncio.run(scenario())


def test_the_second_one_answers_alone_if_the_slow_one_fails() -> None:
    async def scenario() -> None:
        gates = {"a": asyncio.Event()}

        class Failing(Models):
            async def __call__(self, call: Any) -> Any:
                if call.model == "m":
                    self.asked.append("m")
                    await started.wait()
                    raise DOWN
                async for piece in super().__call__(call):
                    yield piece

        started = asyncio.Event()
        models = Failing(dict[str, Does](gates))
        # So late that b is not due while a answers, on a busy host either.
        chain = _chain({"model": "a"}, {"model": "b"}, hedge_after_ms=500)
        async with fallback(**chain) as (stage, _):
            answering = asyncio.create_task(text_of(stage, call_of(), models))
            await models.two.wait()
            started.set()
            for _ in range(20):
                await asyncio.sleep(0)
            gates["a"].set()
            assert await answering == "fine"
        assert models.asked == ["m", "a"]

    asyncio.run(scenario())


def test_a_caller_who_leaves_before_the_first_piece_closes_all_attempts() -> None:
    async def scenario() -> None:
        models = Models({"m": asyncio.Event(), "a": asyncio.Event()})
        async with fallback(**_chain({"model": "a"}, hedge_after_ms=1)) as (stage, _):
            answering = asyncio.create_task(text_of(stage, call_of(), models))
            await models.two.wait()
            answering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await answering
        assert sorted(models.closed) == ["a", "m"]

    asyncio.run(scenario())


def test_a_caller_who_leaves_in_the_middle_closes_the_answer() -> None:
    async def scenario() -> None:
        models, call = Models({"m": DOWN, "a": OK}), call_of()
        async with fallback(**_chain({"model": "a"})) as (stage, _):
            async with aclosing(through(stage, call, models)) as pieces:
                await anext(pieces)
            assert models.closed == ["m", "a"]
        assert call.usage == Usage(3, 2)

    asyncio.run(scenario())


class _Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def _breaking(clock: _Clock) -> Fallback:
    breaker = BreakerConfig(minimum_calls=2, open_s=5, window_s=100)
    config = FallbackConfig.model_validate(_chain({"model": "a"}))
    metrics = FallbackMetrics(CollectorRegistry())
    return Fallback(config, {}, metrics, circuits=Circuits(breaker, metrics, clock))


def test_a_model_that_keeps_failing_is_left_alone_and_comes_back() -> None:
    async def scenario() -> None:
        clock = _Clock()
        stage = _breaking(clock)
        models = Models({"m": DOWN, "a": OK})
        for _ in range(3):
            call = call_of()
            assert await text_of(stage, call, models) == "fine"
        assert models.asked == ["m", "a", "m", "a", "a"]
        assert call.findings["fallback"] == [{"target": "m", "outcome": "circuit_open"}]

        models.does = {"m": OK, "a": OK}
        clock.now += 5
        assert await text_of(stage, call_of(), models) == "fine"
        assert models.asked[-1] == "m"

    asyncio.run(scenario())


def test_if_all_are_to_be_left_alone_the_wanted_one_is_asked_anyway() -> None:
    async def scenario() -> None:
        stage = _breaking(_Clock())
        models = Models({"m": DOWN, "a": DOWN})
        for _ in range(3):
            with pytest.raises(EngineUnavailableError):
                await text_of(stage, call_of(), models)
        assert models.asked == ["m", "a", "m", "a", "m"]

    asyncio.run(scenario())


def test_answers_that_break_off_speak_against_their_model() -> None:
    async def scenario() -> None:
        stage = _breaking(_Clock())
        models = Models({"m": (TextChunk("be"), DOWN), "a": OK})
        for _ in range(2):
            with pytest.raises(EngineUnavailableError):
                await text_of(stage, call_of(), models)
        assert await text_of(stage, call_of(), models) == "fine"
        assert models.asked == ["m", "m", "a"]

    asyncio.run(scenario())


def test_full_queues_and_bad_requests_do_not_speak_against_a_model() -> None:
    async def scenario() -> None:
        stage = _breaking(_Clock())
        for error in (QueueFullError("full"), InvalidRequestError("bad")):
            models = Models({"m": error, "a": OK})
            for _ in range(5):
                try:
                    await text_of(stage, call_of(), models)
                except InvalidRequestError:
                    assert isinstance(error, InvalidRequestError)
            assert models.asked.count("m") == 5

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (_chain({}), "give model, or provider"),
        (_chain({"provider": "p"}), "no provider 'p'"),
        (
            {**_chain({"provider": "p"}), "providers": {"p": {"base_url": "http://h/v1"}}},
            "no name for 'm'",
        ),
        ({"providers": {"p": {"base_url": "http://u:p@h/v1"}}}, "user and password"),
        ({"providers": {"p": {"base_url": "file:///etc"}}}, "URL scheme"),
        (
            {"providers": {"p": {"base_url": "http://h/v1", "headers": {"Authorization": "x"}}}},
            "api_key_file",
        ),
        ({"chain": {}}, "Extra inputs"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FallbackConfig.model_validate(config)
