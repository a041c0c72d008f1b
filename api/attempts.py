"""Attempts at an answer: a second one, on another version, while nothing was sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from enginehouse.api.answering import name_engine, take
from enginehouse.api.call import Routed
from enginehouse.api.generation import TextChunk
from enginehouse.api.routing import Router
from enginehouse.api.stage import Prefetched, Proceed

from enginehouse.errors import EngineUnavailableError, ModelNotFoundError


@dataclass(frozen=True, slots=True)
class Attempts:
    """Retries a call once if its version failed before the first chunk.

    The retry goes to another ready version. There is none if the caller has pinned the version, if
    there are no routes, or if no other version is ready; see `Router.elsewhere`.
    """

    router: Router

    @asynccontextmanager
    async def transform(
        self, routed: Routed, proceed: Proceed[Routed]
    ) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        """See `Transformer`."""
        try:
            running, pieces = await _begun(routed, proceed)
        except (EngineUnavailableError, ModelNotFoundError):
            other = self.router.elsewhere(routed.route)
            if other is None:
                raise
            take(routed.call, other)
            running, pieces = await _begun(replace(routed, route=other), proceed)
        async with running:
            yield pieces


async def _begun(
    routed: Routed, proceed: Proceed[Routed]
) -> tuple[AsyncExitStack, AsyncIterator[TextChunk]]:
    """An attempt whose first chunk is there, and the block that ends it.

    Raises:
        ServingError: if it fails before; the attempt has ended.
    """
    async with AsyncExitStack() as running:
        pieces = await running.enter_async_context(proceed(routed))
        first = await anext(pieces, None)
        name_engine(routed.call)
        return running.pop_all(), Prefetched(first, pieces)
