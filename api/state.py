"""What every route may use, as one typed value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from enginehouse.api.directory import ModelDirectory
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.readiness import Readiness
from enginehouse.client import AsyncTritonClient
from fastapi import Depends, Request

from enginehouse.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class ApiState:
    """Resources that live as long as the application."""

    settings: ApiSettings
    client: AsyncTritonClient
    directory: ModelDirectory
    readiness: Readiness
    metrics: ApiMetrics


def _state(request: Request) -> ApiState:
    state: ApiState = request.app.state.enginehouse
    return state


State = Annotated[ApiState, Depends(_state)]
