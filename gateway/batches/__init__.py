"""Files, and batches that run in the background."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration, Surface
from enginehouse.gateway.batches import routes
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.in_process import InProcessRunner
from enginehouse.gateway.batches.open import open_batches
from enginehouse.gateway.database import shared_database
from enginehouse.gateway.vouching import Vouching

#: What a form has around the file in it.
_FORM_BYTES = 65_536


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    database = await shared_database(opening)
    vouching = opening.services.find(Vouching) or Vouching()
    in_process = InProcessRunner(opening.app, vouch=vouching.still)
    files = opening.settings.files_dir
    async with open_batches(database, files, opening.configured, in_process) as batches:
        opening.app.state.batches = batches
        yield


def _surface(surface: Surface) -> None:
    config: BatchesConfig = surface.configured
    surface.routers.append(routes.router)
    surface.larger_bodies["/v1/files"] = config.max_file_bytes + _FORM_BYTES


registration = Registration(
    "batches", 150, _open, BatchesConfig, _surface, asks_the_application=True
)
