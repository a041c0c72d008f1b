from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from enginehouse.api.attempts import Routing
from enginehouse.api.call import Call, compose
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.generation import Piece, Usage
from enginehouse.api.routing import Router
from enginehouse.gateway.cache.config import CacheConfig
from enginehouse.gateway.cache.stage import CACHE_HEADER, open_cache, routed_by
from enginehouse.gateway.fallback.stage import ANSWERED_BY_HEADER
from prometheus_client import CollectorRegistry

from enginehouse.errors import EngineUnavailableError
from enginehouse.generation import FinishReason
from tests.api.test_routing import FakeDirectory
from tests.gateway.cache.cache_calls import manifest_in, question, route_to
from tests.gateway.fallback.fallback_calls import fallback


def test_a_version_that_answers_for_another_is_cached_as_itself(tmp_path: Path) -> None:
    """The stages in their order: `m` is version 1, which is down; its chain goes to version 2."""
    manifest = manifest_in(tmp_path)
    directory = FakeDirectory({v: route_to(manifest, v).revision for v in (1, 2)})
    asked: list[int] = []

    async def engine(call: Call) -> AsyncGenerator[Piece, None]:
        asked.append(call.revision.version)
        if call.revision.version == 1:
            raise EngineUnavailableError("down")
        yield Piece("fine", finish=FinishReason.STOP)
        call.usage = Usage(4, 1)

    async def scenario() -> list[tuple[Any, ...]]:
        chains = {"m": {"targets": [{"model": "m@2"}]}}
        config = CacheConfig(enabled=True)
        found: list[tuple[Any, ...]] = []
        async with (
            fallback(chains=chains) as (stage, _),
            open_cache(config, CollectorRegistry(), routed_by(directory)) as cache,
        ):
            chain = compose([stage, Routing(Router(directory, pins=True)), cache], engine)
            for _ in range(2):
                call = question(route_to(manifest))
                async with aclosing(chain(call)) as pieces:
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
