"""The ways that calls take: through the stages that are open, to the engine.

A text: asked → stages → routed → stages → an attempt → prepared → stages → engine. Embedding calls
are never `Prepared`: the embedding model in Triton tokenizes the texts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from enginehouse.api.answering import take, take_vectors
from enginehouse.api.attempts import Attempts
from enginehouse.api.call import (
    Attempted,
    Prepared,
    Routed,
    TextCall,
    VectorCall,
    VectorRouted,
)
from enginehouse.api.counted_requests import CountedRequests
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.opened import OpenedStages
from enginehouse.api.routing import Router
from enginehouse.api.stage import Proceed, Stage, Watcher, compose

from enginehouse.errors import ContextOverflowError
from enginehouse.generation import FinishReason


def text_way(stages: OpenedStages, router: Router, metrics: ApiMetrics) -> Proceed[TextCall]:
    """The way of a call that generates text."""
    prepared = compose(stages.prepared.in_order(), _engine)

    @asynccontextmanager
    async def prepare(routed: Routed) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        call = routed.call
        choices = await call.form.choices(routed)
        if call.answered is not None:
            call.answered.choices = choices
        async with prepared(Prepared(call, routed.route, choices)) as pieces:
            yield pieces

    attempt: Proceed[Routed] = compose(_attempted(stages, metrics), prepare)
    chosen = compose([*stages.routed.in_order(), Attempts(router)], attempt)
    outer: list[Stage[TextCall]] = [*stages.asked.in_order(), *stages.text.in_order()]
    return compose(outer, _routing(router, chosen))


def counting_way(stages: OpenedStages, router: Router) -> Proceed[TextCall]:
    """The way of a call whose prompt is counted; the engine is not asked."""

    @asynccontextmanager
    async def counted(routed: Routed) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        async with aclosing(_counted(routed)) as pieces:
            yield pieces

    chosen: Proceed[Routed] = compose(stages.counted.in_order(), counted)
    asked: list[Stage[TextCall]] = [*stages.asked.in_order()]
    return compose(asked, _routing(router, chosen))


def vector_way(stages: OpenedStages, router: Router, metrics: ApiMetrics) -> Proceed[VectorCall]:
    """The way of a call that computes vectors."""

    @asynccontextmanager
    async def computed(routed: VectorRouted) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        async with aclosing(_computed(routed)) as pieces:
            yield pieces

    attempt: Proceed[VectorRouted] = compose(_attempted(stages, metrics), computed)

    @asynccontextmanager
    async def routing(call: VectorCall) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        served, pinned = await router.embedding(call.model)
        take_vectors(call, served)
        async with attempt(VectorRouted(call, served, pinned)) as pieces:
            yield pieces

    asked: list[Stage[VectorCall]] = [*stages.asked.in_order()]
    return compose(asked, routing)


def _attempted(stages: OpenedStages, metrics: ApiMetrics) -> list[Watcher[Attempted]]:
    return [CountedRequests(metrics), *stages.attempted.in_order()]


def _routing(router: Router, behind: Proceed[Routed]) -> Proceed[TextCall]:
    @asynccontextmanager
    async def routing(call: TextCall) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        route = await router.route(call.model, call.keys)
        take(call, route)
        async with behind(Routed(call, route)) as pieces:
            yield pieces

    return routing


@asynccontextmanager
async def _engine(prepared: Prepared) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
    pieces = prepared.choices.pieces(prepared.call.remaining_s())
    async with aclosing(pieces):
        yield pieces


async def _counted(routed: Routed) -> AsyncGenerator[TextChunk, None]:
    """One chunk without text. The prompt's tokens are not usage: no engine ran."""
    try:
        count = (await routed.call.form.choices(routed)).usage.prompt_tokens
    except ContextOverflowError as error:
        # A prompt that is too long has a length too, and that is what was asked.
        count = error.prompt_tokens
    routed.call.counted_tokens = count
    yield TextChunk("", finish=FinishReason.STOP)


async def _computed(routed: VectorRouted) -> AsyncGenerator[TextChunk, None]:
    """One chunk without text, once the vectors are there."""
    call = routed.call
    found = call.found = await call.form.vectors(routed)
    take_vectors(call, routed.served, found.version, Usage(sum(found.token_counts)))
    yield TextChunk("", finish=FinishReason.STOP)
