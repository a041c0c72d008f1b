"""Liveness, readiness and metrics."""

from __future__ import annotations

from typing import Any, Literal

from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.state import State
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse, Response

from enginehouse.supervision import SUPERVISOR

router = APIRouter(route_class=JsonRoute)


class Live(BaseModel):
    """The process answers, and what runs beside the requests.

    Attributes:
        status: ``stuck`` (with 503) once a background task has failed for five minutes.
        failing: background task → its last error, until it has run for a minute without another.
    """

    status: Literal["live", "stuck"]
    failing: dict[str, str] = {}


class Ready(BaseModel):
    """Verdicts by model: ``ready``, or why not."""

    status: Literal["ready", "not ready"]
    models: dict[str, str]


@router.get("/health", responses={200: {"model": Live}, 503: {"model": Live}})
@router.get("/health/live", responses={200: {"model": Live}, 503: {"model": Live}})
async def live() -> JSONResponse:
    """The process answers, and none of its background tasks is stuck: else restart it."""
    body, status_code = SUPERVISOR.liveness()
    return JSONResponse(body, status_code)


@router.get("/health/ready", responses={200: {"model": Ready}, 503: {"model": Ready}})
async def ready(state: State) -> JSONResponse:
    """Every served model has just made a token or a vector; the verdict is kept for a moment."""
    models = await state.readiness.verdicts()
    healthy = bool(models) and all(verdict == "ready" for verdict in models.values())
    body: dict[str, Any] = {"status": "ready" if healthy else "not ready", "models": models}
    return JSONResponse(body, status_code=200 if healthy else 503)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={name: error_responses()[name] for name in (401, 403)},
)
async def metrics(state: State) -> Response:
    """Prometheus exposition."""
    return Response(state.metrics.page(), media_type="text/plain; version=0.0.4")
