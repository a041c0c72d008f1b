"""The stages in their order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from enginehouse.api.aside import Aside
from enginehouse.api.attempts import Attempts, Routing, run_engine
from enginehouse.api.call import Call, Proceed, Stage, compose
from enginehouse.api.generation import Piece
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.routing import Router
from enginehouse.api.samples import SampleRing


def text_pipeline(
    router: Router, metrics: ApiMetrics, samples: SampleRing, aside: Aside
) -> Proceed:
    """What text goes through, behind `whole_pipeline`."""
    stages: list[Stage] = [Routing(router), Attempts(router, metrics, samples, aside)]
    return compose(stages, run_engine)


def whole_pipeline() -> Proceed:
    """What every call goes through, whatever its endpoint."""
    stages: list[Stage] = []
    return compose(stages, _own)


async def _own(call: Call) -> AsyncGenerator[Piece, None]:
    async with aclosing(call.ask.run(call)) as pieces:
        async for piece in pieces:
            yield piece
