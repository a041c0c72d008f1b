from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, cast

import pytest
from enginehouse.api.answering import take
from enginehouse.api.call import Routed
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.routing import Directory
from enginehouse.gateway.cache.config import CacheConfig
from enginehouse.gateway.cache.metrics import CacheMetrics
from enginehouse.gateway.cache.stage import CACHE_HEADER, ResponseCache, open_cache, routed_by
from enginehouse.gateway.cache.store import MemoryCacheStore
from prometheus_client import CollectorRegistry

from enginehouse.errors import EngineUnavailableError, InvalidRequestError, SettingsError
from enginehouse.generation import FinishReason
from enginehouse.manifest import EngineManifest
from enginehouse.traffic import Arm, ExperimentArm, ExperimentRoute, Routes
from enginehouse.traffic.treatments import Treatment
from tests.gateway.cache.cache_calls import (
    PIECES,
    Behind,
    cached,
    manifest_in,
    of_tenant,
    question,
    route_to,
)
from tests.gateway.through import through


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> EngineManifest:
    return manifest_in(tmp_path_factory.mktemp("bundle"))


async def _ticks(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_the_second_of_two_same_questions_is_answered_from_the_cache(
    manifest: EngineManifest,
) -> None:
    async def scenario() -> None:
        cache, behind = cached(), Behind()
        first, second = (question(route_to(manifest)) for _ in range(2))

        assert tuple(await cache.ask(first, behind)) == PIECES
        again = await cache.ask(second, behind)

        assert [(p.text, list(p.token_ids), list(p.log_probs), p.finish) for p in again] == [
            ("Par", [1, 2], [-0.25, -0.5], None),
            ("is.", [3], [-0.125], FinishReason.STOP),
        ]
        assert [tuple(p.scores) for p in again] == [tuple(p.scores) for p in PIECES]
        assert len(behind.asked) == 1
        assert second.call.usage == first.call.usage == Usage(5, 3)
        assert (
            first.call.response_headers[CACHE_HEADER],
            second.call.response_headers[CACHE_HEADER],
        ) == (
            "miss",
            "hit",
        )
        assert first.call.served_by is not None
        assert second.call.served_by is not None
        assert (first.call.served_by.source, second.call.served_by.source) == ("engine", "cache")
        assert (second.call.served_by.version, second.call.served_by.fingerprint) == (
            1,
            behind.fingerprint,
        )
        assert (cache.lookups("miss"), cache.lookups("hit")) == (1, 1)

    asyncio.run(scenario())


def _same(manifest: EngineManifest) -> Routed:
    return question(route_to(manifest))


def _other_text(manifest: EngineManifest) -> Routed:
    return question(route_to(manifest), "Capital of Spain?")


def _other_field(manifest: EngineManifest) -> Routed:
    return question(route_to(manifest), identity={"temperature": 0, "max_tokens": 3})


def _other_version(manifest: EngineManifest) -> Routed:
    return question(route_to(manifest, 2))


def _other_bundle(manifest: EngineManifest) -> Routed:
    other = manifest.model_copy(update={"context_length": manifest.context_length + 1})
    return question(route_to(other))


def _other_adapter(manifest: EngineManifest) -> Routed:
    return question(route_to(manifest, adapter="legal"))


def _other_tools(manifest: EngineManifest) -> Routed:
    return question(route_to(manifest), tools=[{"type": "function"}])


def _other_tenant(manifest: EngineManifest) -> Routed:
    return question(route_to(manifest), caller=of_tenant("other"))


@pytest.mark.parametrize(
    "other",
    [
        _other_text,
        _other_field,
        _other_version,
        _other_bundle,
        _other_adapter,
        _other_tools,
        _other_tenant,
    ],
)
def test_whatever_can_change_the_answer_makes_another_question(
    manifest: EngineManifest, other: Any
) -> None:
    async def scenario() -> None:
        cache, behind = cached(1, 2), Behind()
        await cache.ask(_same(manifest), behind)
        await cache.ask(other(manifest), behind)
        await cache.ask(_same(manifest), behind)

        assert len(behind.asked) == 2

    asyncio.run(scenario())


def test_tenants_share_answers_only_where_that_is_set(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        cache, behind = cached(shared=True), Behind()
        for tenant in ("a", "b"):
            await cache.ask(question(route_to(manifest), caller=of_tenant(tenant)), behind)

        assert len(behind.asked) == 1

    asyncio.run(scenario())


def _treated(manifest: EngineManifest) -> Routed:
    arm = ExperimentArm(name="a", weight=1.0)
    return question(route_to(manifest, treatment=Treatment("e", arm, "u")))


@pytest.mark.parametrize(
    "passing",
    [
        lambda m: question(route_to(m), deterministic=False),
        lambda m: question(route_to(m), headers={CACHE_HEADER: "no-store"}),
        lambda m: question(route_to(m), identity={"temperature": 0, "echo": True}),
        lambda m: question(route_to(m, 3)),
        _treated,
    ],
    ids=["sampled", "no-store", "echo", "a version that is not routed", "on an experiment's arm"],
)
def test_these_calls_have_nothing_to_do_with_the_cache(
    manifest: EngineManifest, passing: Any
) -> None:
    async def scenario() -> None:
        cache, behind = cached(), Behind()
        for _ in range(2):
            call = passing(manifest)
            await cache.ask(call, behind)
            assert call.call.response_headers[CACHE_HEADER] == "bypass"

        assert len(behind.asked) == 2

    asyncio.run(scenario())


def test_sampled_answers_are_kept_where_that_is_asked_for(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        cache, behind = cached(always=True), Behind()
        for _ in range(2):
            await cache.ask(question(route_to(manifest), deterministic=False), behind)

        assert len(behind.asked) == 1

    asyncio.run(scenario())


def test_a_cache_header_that_nobody_understands_is_refused_by_name(
    manifest: EngineManifest,
) -> None:
    call = question(route_to(manifest), headers={CACHE_HEADER: "please"})
    with pytest.raises(InvalidRequestError, match=r"'please'.*'no-store'"):
        asyncio.run(cached().ask(call, Behind()))


@pytest.mark.parametrize(
    "behind",
    [
        Behind(error=EngineUnavailableError("broken")),
        Behind((TextChunk("I"), TextChunk("", finish=FinishReason.CONTENT_FILTER))),
        Behind((TextChunk("I"), TextChunk("", finish=FinishReason.CANCELLED))),
        Behind((TextChunk("one", finish=FinishReason.STOP), TextChunk("two", index=1))),
        Behind((TextChunk("x" * 200), TextChunk("", finish=FinishReason.STOP))),
        Behind(()),
    ],
    ids=["broken off", "filtered", "cancelled", "half an answer", "too long", "empty"],
)
def test_only_whole_answers_are_kept(manifest: EngineManifest, behind: Behind) -> None:
    async def scenario() -> None:
        cache = cached(most_entry_bytes=150)
        for _ in range(2):
            try:
                await cache.ask(question(route_to(manifest)), behind)
            except EngineUnavailableError:
                assert behind.error is not None

        assert len(behind.asked) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("read", [1, 2])
def test_an_answer_that_nobody_read_to_its_end_is_not_kept(
    manifest: EngineManifest, read: int
) -> None:
    async def scenario() -> None:
        cache, behind = cached(), Behind()
        async with aclosing(through(cache.stage, question(route_to(manifest)), behind)) as pieces:
            for _ in range(read):
                await anext(pieces)
        assert behind.closed == 1

        await cache.ask(question(route_to(manifest)), behind)

        assert len(behind.asked) == 2

    asyncio.run(scenario())


def test_an_answer_of_another_version_than_the_asked_one_is_not_kept(
    manifest: EngineManifest,
) -> None:
    class Moved(Behind):
        async def __call__(self, routed: Routed) -> Any:
            async for piece in super().__call__(routed):
                take(routed.call, route_to(manifest, 2))
                yield piece

    async def scenario() -> None:
        cache, behind = cached(1, 2), Moved()
        for _ in range(2):
            await cache.ask(question(route_to(manifest)), behind)

        assert len(behind.asked) == 2

    asyncio.run(scenario())


def test_same_questions_in_flight_wait_for_the_first(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        cache, behind = cached(), Behind(gate=asyncio.Event())
        calls = [question(route_to(manifest)) for _ in range(5)]
        tasks = [asyncio.create_task(cache.ask(call, behind)) for call in calls]
        await _ticks()
        assert len(behind.asked) == 1

        cast("asyncio.Event", behind.gate).set()
        answers = await asyncio.gather(*tasks)

        assert len(behind.asked) == 1
        assert {"".join(piece.text for piece in answer) for answer in answers} == {"Paris."}
        assert cache.lookups("shared") == 4

    asyncio.run(scenario())


def test_those_who_wait_go_on_themselves_when_the_first_fails(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        cache = cached()
        failing = Behind((), EngineUnavailableError("gone"), asyncio.Event())
        well = Behind()
        first = asyncio.create_task(cache.ask(question(route_to(manifest)), failing))
        await _ticks()
        others = [
            asyncio.create_task(cache.ask(question(route_to(manifest)), well)) for _ in range(3)
        ]
        await _ticks()
        assert not well.asked

        cast("asyncio.Event", failing.gate).set()

        with pytest.raises(EngineUnavailableError):
            await first
        assert [len(answer) for answer in await asyncio.gather(*others)] == [2, 2, 2]
        assert len(well.asked) == 3

    asyncio.run(scenario())


def test_those_who_wait_go_on_themselves_when_the_first_leaves(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        cache, behind, well = cached(), Behind(gate=asyncio.Event()), Behind()
        first = asyncio.create_task(cache.ask(question(route_to(manifest)), behind))
        await _ticks()
        other = asyncio.create_task(cache.ask(question(route_to(manifest)), well))
        await _ticks()
        assert not well.asked

        first.cancel()

        assert len(await other) == 2

    asyncio.run(scenario())


def test_more_than_may_wait_go_on_themselves(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        cache, behind = cached(most_waiters=1), Behind(gate=asyncio.Event())
        tasks = [
            asyncio.create_task(cache.ask(question(route_to(manifest)), behind)) for _ in range(3)
        ]
        await _ticks()
        assert len(behind.asked) == 2

        cast("asyncio.Event", behind.gate).set()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_who_waits_too_long_goes_on_and_is_answered(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        cache, stuck = cached(most_wait_s=0.01), Behind(gate=asyncio.Event())
        first = asyncio.create_task(cache.ask(question(route_to(manifest)), stuck))
        await _ticks()

        assert len(await cache.ask(question(route_to(manifest)), Behind())) == 2

        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    asyncio.run(scenario())


def test_promotion_drops_the_answers_of_the_version_that_left(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        metrics = CacheMetrics(CollectorRegistry())
        store = MemoryCacheStore(metrics, ttl_s=60, most_entries=9, most_bytes=9999)
        routed = {1}
        stage = ResponseCache(
            CacheConfig(enabled=True), store, metrics, lambda _: frozenset(routed)
        )
        behind = Behind()

        async def ask(version: int) -> None:
            async with aclosing(
                through(stage, question(route_to(manifest, version)), behind)
            ) as pieces:
                assert [piece async for piece in pieces]

        await ask(1)
        routed.clear()
        routed.add(2)
        await ask(2)
        routed.add(1)
        await ask(2)
        await ask(1)

        assert [routed.version for routed in behind.asked] == [1, 2, 1]

    asyncio.run(scenario())


def test_versions_of_routes_and_experiments_are_routed() -> None:
    class Known:
        current: Routes | None = None

        def routes(self, model: str) -> Routes | None:
            return self.current

        def revisions(self, model: str) -> dict[int, None]:
            return {1: None, 2: None}

    known = Known()
    routed = routed_by(cast("Directory", known))
    assert routed("m") == {1, 2}

    arms = (ExperimentArm(name="a", weight=1.0), ExperimentArm(name="b", weight=1.0, version=5))
    known.current = Routes(
        model="m",
        generation=1,
        champion=3,
        arms=(Arm(version=4, weight=10), Arm(version=3, weight=90)),
        experiments=(ExperimentRoute(name="e", salt="s", arms=arms),),
        loaded=(3, 4, 5, 6),
    )
    assert routed("m") == {3, 4, 5}


def test_a_cache_in_redis_needs_a_redis() -> None:
    async def scenario() -> None:
        config = CacheConfig(enabled=True, store="redis")
        async with open_cache(config, CollectorRegistry(), lambda _: frozenset()):
            pass

    with pytest.raises(SettingsError, match="ENGINEHOUSE_REDIS_URL"):
        asyncio.run(scenario())


def test_a_damaged_entry_is_one_that_was_not_found(manifest: EngineManifest) -> None:
    async def scenario() -> None:
        cache, behind = cached(), Behind()
        await cache.ask(question(route_to(manifest)), behind)
        store = cast("MemoryCacheStore", cache.store)
        for key in list(store._kept):
            store.put(key, b'[[{"text":1}],{}]')

        assert len(await cache.ask(question(route_to(manifest)), behind)) == 2
        assert len(behind.asked) == 2

    asyncio.run(scenario())
