"""`/internal/…`: what the release controller reads, behind the admin token."""

from __future__ import annotations

from typing import Annotated, Any

from enginehouse.api.json_route import JsonRoute
from enginehouse.api.state import State
from fastapi import APIRouter, Depends, Header, Query
from starlette.responses import Response

from enginehouse.admin_token import check_admin_token

_MOST = 50_000
#: Places are counted in this process and fit a signed 64-bit number.
_LAST = 2**63 - 1


async def _authorised(state: State, authorization: Annotated[str | None, Header()] = None) -> None:
    check_admin_token(authorization, state.admin_token())


router = APIRouter(
    route_class=JsonRoute,
    prefix="/internal",
    dependencies=[Depends(_authorised)],
    include_in_schema=False,
)


@router.get("/samples", response_model=None)
async def samples(
    state: State,
    after: Annotated[int, Query(ge=0, le=_LAST)] = 0,
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
