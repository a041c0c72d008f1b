"""Shadow copies: live requests asked again of a version whose answers go nowhere."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.journal import shared_lines
from enginehouse.gateway.observing import Observers
from enginehouse.gateway.shadow.cosine import cosine_by
from enginehouse.gateway.shadow.observer import ShadowObserver
from enginehouse.gateway.shadow.shadow import Shadow, pairs_kept
from enginehouse.gateway.shadow.shadow_metrics import ShadowMetrics


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    pairs = pairs_kept(os.environ)
    observers = opening.services.find(Observers)
    if observers is None:
        # Copies are compared by the samples of requests.
        yield
        return
    shadow = Shadow(
        ShadowMetrics(opening.registry),
        observers.keep,
        await shared_lines(opening),
        pairs=pairs,
        cosine=cosine_by(opening.directory, opening.client),
    )
    observers.add(ShadowObserver(opening.directory, shadow))
    try:
        yield
    finally:
        await shadow.close()


registration = Registration("shadow", 7, _open)
