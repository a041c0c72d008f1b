"""Sampled traces of conversations, in MLflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.journal.dropped import shared_dropped
from enginehouse.gateway.observing import Observers
from enginehouse.gateway.traces.observer import Traces
from enginehouse.registry.quality.traces import TraceWriter


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    observers = opening.services.find(Observers)
    if observers is None:
        yield
        return
    dropped = shared_dropped(opening).of("trace")
    writer = TraceWriter(opening.settings, on_drop=dropped.inc)
    observers.add(Traces(writer))
    writer.start()
    try:
        yield
    finally:
        # It writes what it still has, which may take seconds.
        await asyncio.to_thread(writer.close)


registration = Registration("traces", 8, _open)
