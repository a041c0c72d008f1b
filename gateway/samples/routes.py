"""`GET /internal/samples`: what the release controller reads, behind the admin token."""

from __future__ import annotations

from typing import Annotated

from enginehouse.api.internal import authorised
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.services import service
from enginehouse.gateway.samples.ring import SampleRing
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

_MOST = 50_000
#: Places are counted in this process and fit a signed 64-bit number.
_LAST = 2**63 - 1

router = APIRouter(
    route_class=JsonRoute,
    prefix="/internal",
    dependencies=[Depends(authorised)],
    include_in_schema=False,
)


@router.get("/samples", response_model=None)
async def samples(
    ring: Annotated[SampleRing, service(SampleRing)],
    after: Annotated[int, Query(ge=0, le=_LAST)] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 5000,
) -> Response:
    """A page of samples and feedback after a place, a `SamplePage`."""
    page = ring.page(after, limit)
    return Response(page.model_dump_json(), media_type="application/json")
