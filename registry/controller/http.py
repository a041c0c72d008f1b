"""The controller's HTTP API; all operations are those of `Controller`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from enginehouse.registry.controller.controller import Controller
from enginehouse.registry.controller.json_api import ControllerRoute, install_controller_errors
from enginehouse.registry.controller.model import ModelReleases
from enginehouse.registry.controller.transitions import Wish
from enginehouse.registry.history import History
from enginehouse.registry.rollouts.spec import RolloutSpec, parse_spec
from enginehouse.registry.rollouts.state import RolloutCommand
from enginehouse.registry.store import Registry
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse

from enginehouse.admin_token import check_admin_token
from enginehouse.requests.wire_types import Version
from enginehouse.supervision import SUPERVISOR

#: Verifies a webhook by its headers and body; raises if it is not MLflow's.
Verify = Callable[[Mapping[str, str], bytes], object]
_NOTHING: dict[str, str] = {}


class _Asked(BaseModel):
    """Actor and reason of an operation."""

    model_config = ConfigDict(extra="forbid")

    actor: str
    reason: str = ""


class RolloutRequest(_Asked):
    """Start a rollout; overrides are gate → reason."""

    version: Version
    spec: dict[str, Any] | None = None
    overrides: dict[str, str] = _NOTHING


class PromoteRequest(_Asked):
    """Promote the challenger or a version, without the remaining analyses."""

    version: Version | None = None
    overrides: dict[str, str] = _NOTHING


class RollbackRequest(_Asked):
    """Roll back to `previous`, or to a version."""

    to: Version | None = None


def create_controller_app(
    controller: Controller, registry: Registry, token: str, webhooks: Verify | None
) -> FastAPI:
    """Create the ASGI application; the controller runs during its lifespan.

    Args:
        webhooks: verifies MLflow's webhooks; None rejects them, because no secret is set.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        controller.start()
        yield
        controller.stop()

    app = FastAPI(title="Enginehouse release controller", lifespan=lifespan, docs_url=None,
                  redoc_url=None)  # fmt: skip
    install_controller_errors(app)
    app.include_router(_open_routes(controller, webhooks))
    app.include_router(_model_routes(controller, History(registry)), dependencies=[_guard(token)])
    app.include_router(_release_routes(controller), dependencies=[_guard(token)])
    return app


def _guard(token: str) -> Any:
    def check(request: Request) -> None:
        check_admin_token(request.headers.get("authorization"), token)

    return Depends(check)


def _open_routes(controller: Controller, webhooks: Verify | None) -> APIRouter:
    router = APIRouter(route_class=ControllerRoute)

    @router.get("/health/live")
    def live() -> JSONResponse:
        """Liveness, whether this process holds the lease, and which background tasks fail.

        503 once a background task has been failing for five minutes: restart the process.
        """
        body, status_code = SUPERVISOR.liveness()
        return JSONResponse({**body, "acting": controller.acting}, status_code)

    @router.post("/webhooks/mlflow", status_code=204)
    async def webhook(request: Request) -> None:
        """A webhook of MLflow: triggers a tick and is not used otherwise."""
        if webhooks is None:
            raise HTTPException(404, "no webhook secret is set: ENGINEHOUSE_WEBHOOK_SECRET_FILE")
        webhooks(request.headers, await request.body())
        controller.hint()

    return router


def _model_routes(controller: Controller, history: History) -> APIRouter:
    router = APIRouter(route_class=ControllerRoute)

    @router.get("/v1/models")
    def models() -> dict[str, Any]:
        """Release state of every model, and whether the registry can be read."""
        return controller.describe()

    @router.get("/v1/replicas")
    def replicas() -> dict[str, Any]:
        """State of the fleet."""
        return {"replicas": controller.fleet()}

    @router.post("/v1/hint", status_code=204)
    def hint() -> None:
        """Trigger a tick now."""
        controller.hint()

    @router.get("/v1/models/{model}")
    def model(model: str) -> dict[str, Any]:
        """Release state of one model."""
        return controller.describe_model(model)

    @router.get("/v1/models/{model}/history")
    def past(model: str) -> dict[str, Any]:
        """Past releases, newest first."""
        return {"history": [r.model_dump(mode="json") for r in history.releases(model)]}

    @router.get("/v1/models/{model}/serving")
    def serving(model: str, at: datetime) -> dict[str, Any]:
        """What served at a given time."""
        found = history.serving_at(model, at)
        if found is None:
            return {"weights": {}}
        return {
            "weights": {str(v): w for v, w in found.weights.items()},
            "since": found.since.isoformat(),
            "release": found.release.id,
            "actor": found.event.actor,
            "reason": found.event.reason,
        }

    @router.delete("/v1/models/{model}")
    def stop(model: str, actor: str = "unknown") -> dict[str, Any]:
        """Stop serving a model: removes its alias `champion`."""
        return controller.act(model, lambda r, now: r.stop(actor, now))

    return router


def _release_routes(controller: Controller) -> APIRouter:
    router = APIRouter(route_class=ControllerRoute, prefix="/v1/models/{model}")

    def command(model: str, what: RolloutCommand, asked: _Asked) -> dict[str, Any]:
        wish = Wish(asked.actor, asked.reason)
        return controller.act(model, lambda r, now: r.command(what, wish, now))

    @router.post("/rollout")
    def start(model: str, asked: RolloutRequest) -> dict[str, Any]:
        """Start a rollout."""
        wish = Wish(asked.actor, asked.reason, _spec(asked.spec), asked.overrides)
        return controller.act(model, lambda r, now: r.start(asked.version, wish, now))

    @router.post("/pause")
    def pause(model: str, asked: _Asked) -> dict[str, Any]:
        """Hold the current weights."""
        return command(model, RolloutCommand.PAUSE, asked)

    @router.post("/resume")
    def resume(model: str, asked: _Asked) -> dict[str, Any]:
        """Resume a paused rollout."""
        return command(model, RolloutCommand.RESUME, asked)

    @router.post("/abort")
    def abort(model: str, asked: _Asked) -> dict[str, Any]:
        """Shift all traffic to the champion and end the rollout."""
        return _confirmed(
            controller,
            model,
            lambda r, now: r.command(RolloutCommand.ABORT, Wish(asked.actor, asked.reason), now),
        )

    @router.post("/promote")
    def promote(model: str, asked: PromoteRequest) -> dict[str, Any]:
        """Make the challenger, or a version, the champion."""
        wish = Wish(asked.actor, asked.reason, RolloutSpec(), asked.overrides)
        return controller.act(model, lambda r, now: r.promote(asked.version, wish, now))

    @router.post("/rollback")
    def rollback(model: str, asked: RollbackRequest) -> dict[str, Any]:
        """Roll back to the version that served before."""
        wish = Wish(asked.actor, asked.reason)
        return _confirmed(controller, model, lambda r, now: r.rollback(asked.to, wish, now))

    return router


def _confirmed(
    controller: Controller, model: str, what: Callable[[ModelReleases, float], object]
) -> dict[str, Any]:
    """Run an operation and wait until the adapters apply it; adds the duration in seconds."""
    began = time.monotonic()
    answer = controller.act(model, what)
    adapters = controller.confirm(model)
    return {**answer, "took_s": time.monotonic() - began, "adapters": adapters}


def _spec(raw: dict[str, Any] | None) -> RolloutSpec:
    return RolloutSpec() if raw is None else parse_spec(raw, "spec")
