"""Liveness, readiness and metrics."""

from __future__ import annotations

from typing import Any

from enginehouse.api.state import State
from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

router = APIRouter()


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@router.get("/health/ready")
async def ready(state: State) -> JSONResponse:
    """Every served model has just made a token or a vector; the verdict is kept for a moment."""
    models = await state.readiness.verdicts()
    healthy = bool(models) and all(verdict == "ready" for verdict in models.values())
    body: dict[str, Any] = {"status": "ready" if healthy else "not ready", "models": models}
    return JSONResponse(body, status_code=200 if healthy else 503)


@router.get("/metrics")
async def metrics(state: State) -> Response:
    """Prometheus exposition."""
    return Response(state.metrics.page(), media_type="text/plain; version=0.0.4")
