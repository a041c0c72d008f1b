"""`/internal/…`: what the release controller reads, behind the admin token."""

from __future__ import annotations

from typing import Annotated, Any

from enginehouse.api.json_route import JsonRoute
from enginehouse.api.state import State
from fastapi import APIRouter, Depends, Header

from enginehouse.admin_token import check_admin_token


async def authorised(state: State, authorization: Annotated[str | None, Header()] = None) -> None:
    """A dependency of internal routes: the admin token.

    Raises:
        UnauthenticatedError: if it is missing or wrong.
    """
    check_admin_token(authorization, state.admin_token())


router = APIRouter(
    route_class=JsonRoute,
    prefix="/internal",
    dependencies=[Depends(authorised)],
    include_in_schema=False,
)


@router.get("/routes")
async def routes(state: State) -> dict[str, Any]:
    """The routes that this adapter applies now, by model."""
    return {
        model: applied.model_dump(mode="json")
        for model, applied in sorted(state.directory.applied().items())
    }
