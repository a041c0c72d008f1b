"""What every route may use, as one typed value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from enginehouse.api.call import Proceed
from enginehouse.api.directory import ModelDirectory
from enginehouse.api.generation import Engine
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.readiness import Readiness
from enginehouse.api.routing import Router
from enginehouse.client import AsyncFleetClient
from enginehouse.gateway.journal.journal import Journal
from enginehouse.gateway.models.settings import ModelSettings
from enginehouse.gateway.samples.ring import SampleRing
from enginehouse.gateway.shadow.aside import Aside
from fastapi import Depends, Request


@dataclass(frozen=True, slots=True)
class ApiState:
    """Resources that live as long as the application.

    Attributes:
        engine: runs generations.
        pipeline: the stages that every call goes through, then its endpoint's own `run`.
        text: the stages of an endpoint that generates text, then the engine.
        counting: the stages that make a text's prompt, and nothing behind them.
        models: aliases, and what is set for each model.
        admin_token: reads the secret that internal routes ask for.
    """

    client: AsyncFleetClient
    directory: ModelDirectory
    router: Router
    readiness: Readiness
    metrics: ApiMetrics
    samples: SampleRing
    journal: Journal
    aside: Aside
    engine: Engine
    pipeline: Proceed
    text: Proceed
    counting: Proceed
    models: ModelSettings
    admin_token: Callable[[], str]


async def _state(request: Request) -> ApiState:
    state: ApiState = request.app.state.enginehouse
    return state


State = Annotated[ApiState, Depends(_state)]
