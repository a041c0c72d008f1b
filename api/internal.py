"""`/internal/…`: what the release controller reads, behind the admin token."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Annotated, Any

from enginehouse.api.state import State
from fastapi import APIRouter, Depends, Header, HTTPException, Query
from starlette.responses import Response

_SCHEME = "bearer"
_MOST = 50_000


async def _authorised(state: State, authorization: Annotated[str | None, Header()] = None) -> None:
    scheme, _, given = (authorization or "").partition(" ")
    expected = state.admin_token().encode()
    # Both are compared in full: how long it takes says nothing about the secret.
    if not hmac.compare_digest(given.strip().encode(), expected) or scheme.lower() != _SCHEME:
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            "this route needs the admin token: Authorization: Bearer <content of admin.token>",
            headers={"WWW-Authenticate": "Bearer"},
        )


router = APIRouter(prefix="/internal", dependencies=[Depends(_authorised)], include_in_schema=False)


@router.get("/samples", response_model=None)
async def samples(
    state: State,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 5000,
) -> Response:
    """A page of samples and feedback after a place, a `SamplePage`."""
    page = state.samples.page(after, limit)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/routes")
async def routes(state: State) -> dict[str, Any]:
    """The routes that this adapter applies now, by model."""
    return {
        model: applied.model_dump(mode="json")
        for model, applied in sorted(state.directory.applied().items())
    }
