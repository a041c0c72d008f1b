"""Exposures to A/B experiments, and the samples of exposed requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.exposures.log import ExposureLog
from enginehouse.gateway.exposures.observer import Exposures
from enginehouse.gateway.journal import shared_lines
from enginehouse.gateway.observing import Observers


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    observers = opening.services.find(Observers)
    if observers is not None:
        observers.add(Exposures(ExposureLog(await shared_lines(opening))))
    yield


registration = Registration("exposures", 6, _open)
