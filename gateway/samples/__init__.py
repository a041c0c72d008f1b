"""What requests came to: samples that the release controller reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration, Surface
from enginehouse.gateway.observing import Observers
from enginehouse.gateway.samples import routes
from enginehouse.gateway.samples.ring import SampleRing
from enginehouse.gateway.samples.stage import Samples


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    ring = SampleRing(opening.settings.api.samples_kept)
    observers = Observers(ring.add, ring.of_request)
    opening.services.offer(ring)
    opening.services.offer(observers)
    opening.stages.attempted.add(20, Samples(ring, observers))
    yield


def _surface(surface: Surface) -> None:
    surface.routers.append(routes.router)


registration = Registration("samples", 5, _open, surface=_surface)
