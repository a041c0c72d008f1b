"""The stage in front of the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from enginehouse.api.call import Call
from enginehouse.api.caller import Caller
from enginehouse.api.errors import error_response
from enginehouse.api.generation import TextChunk
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.opening import open_limits
from enginehouse.gateway.limits.turns import Turns
from prometheus_client import CollectorRegistry

from enginehouse.errors import DeadlineError, QueueFullError, SettingsError
from tests.gateway.limits.calls import Ledger, Shared, answered, behind, text_call
from tests.redis_server import RedisServer


class _Engine:
    """Holds every call until it is let go."""

    def __init__(self) -> None:
        self.running: list[Call] = []
        self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, call: Call) -> AsyncGenerator[TextChunk, None]:
        self.running.append(call)
        self.most = max(self.most, len(self.running))
        try:
            await self.go.wait()
            yield TextChunk("a", [1])
        finally:
            self.running.remove(call)


class _Place:
    def __init__(self, clock=time.monotonic, **fair_share: object) -> None:
        config = LimitsConfig.model_validate({"fair_share": fair_share})
        self.shared = Shared(config)
        self.stage = Turns(self.shared.limits, config.fair_share, clock)
        self.engine = _Engine()

    def start(self, tenant: str = "default", **fields: object) -> asyncio.Task[int]:
        call = text_call(caller=Caller(tenant), **fields)  # type: ignore[arg-type]
        return asyncio.create_task(answered(self.stage, call, self.engine))

    def value(self, name: str, **labels: str) -> float:
        return self.shared.registry.get_sample_value(f"enginehouse_{name}", labels) or 0


async def _settled() -> None:
    """Every task has gone as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_hundred_callers_never_have_more_than_the_slots_and_all_are_answered():
    async def work() -> None:
        place = _Place(slots=8)
        tasks = [place.start(f"t{index % 5}") for index in range(100)]
        await _settled()
        assert place.value("slots_used") == 8
        assert place.value("queue_depth", priority="normal") == 92
        place.engine.go.set()
        assert await asyncio.gather(*tasks) == [1] * 100
        assert place.engine.most == 8
        assert place.value("slots_used") == 0
        assert place.value("queue_seconds_count", tenant="default") == 0
        assert place.value("queue_seconds_count", tenant="other") == 100

    asyncio.run(work())


def test_a_caller_that_goes_while_it_waits_leaves_the_queue_at_once():
    async def work() -> None:
        place = _Place(slots=1)
        first, second, third = (place.start() for _ in range(3))
        await _settled()
        second.cancel()
        await _settled()
        assert place.value("queue_depth", priority="normal") == 1
        place.engine.go.set()
        assert [await first, await third] == [1, 1]

    asyncio.run(work())


def test_a_caller_that_goes_just_as_its_turn_comes_hands_it_on():
    async def work() -> None:
        place = _Place(slots=1)
        first, second, third = (place.start() for _ in range(3))
        await _settled()
        # Both in one step of the loop: the slot is given to the one that is leaving.
        first.cancel()
        second.cancel()
        await _settled()
        assert len(place.engine.running) == 1
        place.engine.go.set()
        assert await third == 1
        assert place.value("slots_used") == 0

    asyncio.run(work())


def test_a_caller_that_goes_in_the_middle_frees_its_slot():
    async def work() -> None:
        place = _Place(slots=1)
        place.engine.go.set()
        async with aclosing(behind(place.stage, text_call(), place.engine)) as pieces:
            await anext(pieces)
            waiting = place.start()
            await _settled()
            assert not waiting.done()
        assert await waiting == 1

    asyncio.run(work())


def test_several_answers_take_several_slots():
    async def work() -> None:
        place = _Place(slots=4)
        tasks = [place.start(width=3), place.start(width=2)]
        await _settled()
        assert len(place.engine.running) == 1
        place.engine.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(work())


def test_a_wait_that_would_be_too_long_is_refused_at_once_with_a_time():
    async def work() -> None:
        now = 0.0
        place = _Place(lambda: now, slots=1, most_queue_s=10.0)
        task = place.start()
        await _settled()
        now = 6.0
        place.engine.go.set()
        await task
        place.engine.go.clear()
        tasks = [place.start(), place.start()]
        await _settled()
        with pytest.raises(QueueFullError, match="would wait 12") as caught:
            await place.start()
        assert caught.value.retry_after_s == pytest.approx(2.0)
        response = error_response(caught.value)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
        assert place.shared.refused("default", "queue") == 1
        place.engine.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(work())


def test_a_call_that_cannot_have_its_turn_before_its_deadline_is_refused_at_once():
    async def work() -> None:
        now = 0.0
        place = _Place(lambda: now, slots=1)
        task = place.start()
        await _settled()
        now = 6.0
        place.engine.go.set()
        await task
        place.engine.go.clear()
        tasks = [place.start(), place.start()]
        await _settled()
        with pytest.raises(QueueFullError):
            await place.start(deadline=time.monotonic() + 5.0)
        place.engine.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(work())


def test_a_caller_whose_time_is_over_does_not_wait():
    async def work() -> None:
        place = _Place(slots=1)
        first = place.start()
        await _settled()
        with pytest.raises(DeadlineError):
            await place.start(deadline=time.monotonic() - 1.0)
        place.engine.go.set()
        await first

    asyncio.run(work())


def test_the_queue_has_an_end():
    async def work() -> None:
        place = _Place(slots=1, most_waiting=2)
        tasks = [place.start() for _ in range(3)]
        await _settled()
        with pytest.raises(QueueFullError, match="2 requests wait"):
            await place.start()
        place.engine.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(work())


def test_without_slots_nobody_waits():
    async def work() -> None:
        place = _Place(slots=None)
        tasks = [place.start() for _ in range(100)]
        await _settled()
        assert len(place.engine.running) == 100
        place.engine.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(work())


def test_the_stages_open_with_and_without_redis(redis_server: RedisServer):
    async def work(url: str | None) -> None:
        config = LimitsConfig.model_validate({"default": {"requests_per_minute": 1000}})
        async with open_limits(config, CollectorRegistry(), Ledger(), redis_url=url) as stages:
            call = text_call()
            for stage in (stages.requests, stages.tokens, stages.turns):
                assert await answered(stage, call) == 6
            assert call.response_headers["x-ratelimit-limit-requests"] == "1000"

    asyncio.run(work(None))
    asyncio.run(work(redis_server.url))


def test_an_address_that_is_none_of_redis_is_refused():
    async def work() -> None:
        async with open_limits(LimitsConfig(), CollectorRegistry(), Ledger(), redis_url="http://x"):
            pass

    with pytest.raises(SettingsError, match="ENGINEHOUSE_REDIS_URL"):
        asyncio.run(work())
