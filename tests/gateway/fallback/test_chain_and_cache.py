from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from enginehouse.api.answering import take
from enginehouse.api.call import Routed, TextCall
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.routing import Router
from enginehouse.api.stage import compose
from enginehouse.gateway.cache.config import CacheConfig
from enginehouse.gateway.cache.stage import CACHE_HEADER, open_cache, routed_by
from enginehouse.gateway.fallback.stage import ANSWERED_BY_HEADER
from prometheus_client import CollectorRegistry

from enginehouse.errors import EngineUnavailableError
from enginehouse.generation import FinishReason
from tests.api.test_routing import FakeDirectory
from tests.gateway.cache.cache_calls import manifest_in, question, route_to
from tests.gateway.fallback.fallback_calls import fallback
from tests.gateway.through import way_to


def test_a_version_that_answers_for_another_is_cached_as_itself(tmp_path: Path) -> None:
    """The stages in their order: `m` is version 1, which is down; its chain goes to version 2."""
    manifest = manifest_in(tmp_path)
    directory = FakeDirectory({v: route_to(manifest, v).revision for v in (1, 2)})
    asked: list[int] = []

    async def engine(routed: Routed) -> AsyncGenerator[TextChunk, None]:
        asked.append(routed.version)
        if routed.version == 1:
            raise EngineUnavailableError("down")
        yield TextChunk("fine", finish=FinishReason.STOP)
        assert routed.call.answered is not None
        routed.call.answered.used = Usage(4, 1)

    async def scenario() -> list[tuple[Any, ...]]:
        chains = {"m": {"targets": [{"model": "m@2"}]}}
        config = CacheConfig(enabled=True)
        found: list[tuple[Any, ...]] = []
        async with (
            fallback(chains=chains) as (stage, _),
            open_cache(config, CollectorRegistry(), routed_by(directory)) as cache,
        ):
            router, behind = Router(directory, pins=True), compose([cache], way_to(engine))

            @asynccontextmanager
            async def routing(call: TextCall) -> AsyncIterator[AsyncIterator[TextChunk]]:
                route = await router.route(call.model, call.keys)
                take(call, route)
                async with behind(Routed(call, route)) as pieces:
                    yield pieces

            chain = compose([stage], routing)
            for _ in range(2):
                call = question(route_to(manifest)).call
                async with chain(call) as pieces:
                    text = "".join([piece.text async for piece in pieces])
                headers, served = call.response_headers, call.served_by
                names = (CACHE_HEADER, ANSWERED_BY_HEADER, VERSION_HEADER)
                assert served is not None
                said = [headers[name] for name in names]
                found.append((text, served.source, call.usage, said))
        return found

    assert asyncio.run(scenario()) == [
        ("fine", "engine", Usage(4, 1), ["miss", "m@2", "2"]),
        ("fine", "cache", Usage(4, 1), ["hit", "m@2", "2"]),
    ]
    assert asked == [1, 2, 1]
