"""What every route may use, as one typed value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from enginehouse.api.call import TextCall, VectorCall
from enginehouse.api.defaults import ModelNames
from enginehouse.api.directory import ModelDirectory
from enginehouse.api.generation import Engine
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.readiness import Readiness
from enginehouse.api.routing import Router
from enginehouse.api.stage import Proceed
from enginehouse.client import AsyncFleetClient
from fastapi import Depends, Request


@dataclass(frozen=True, slots=True)
class ApiState:
    """Resources that live as long as the application.

    Attributes:
        engine: runs generations.
        text: the way of a call that generates text.
        counting: the way of a call whose prompt is counted.
        vectors: the way of a call that computes vectors.
        names: other names for models.
        admin_token: reads the secret that internal routes ask for.
    """

    client: AsyncFleetClient
    directory: ModelDirectory
    router: Router
    readiness: Readiness
    metrics: ApiMetrics
    engine: Engine
    text: Proceed[TextCall]
    counting: Proceed[TextCall]
    vectors: Proceed[VectorCall]
    names: ModelNames
    admin_token: Callable[[], str]


async def _state(request: Request) -> ApiState:
    state: ApiState = request.app.state.enginehouse
    return state


State = Annotated[ApiState, Depends(_state)]
