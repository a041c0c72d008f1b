"""What users think of responses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration, Surface
from enginehouse.gateway.feedback import routes
from enginehouse.gateway.journal import journal_of


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    journal_of(opening)
    yield


def _surface(surface: Surface) -> None:
    surface.routers.append(routes.router)


registration = Registration("feedback", 120, _open, surface=_surface)
