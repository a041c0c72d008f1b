"""Route `GET /admin/usage`."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

import orjson
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.gateway.ledger.ledger import Ledger
from enginehouse.gateway.ledger.report import UsageQuery, as_csv, parse_by
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from enginehouse.errors import NotFoundError

router = APIRouter(route_class=JsonRoute)


class ReportFormat(StrEnum):
    """Format of the report."""

    JSON = "json"
    CSV = "csv"


class UsageLine(BaseModel):
    """Sums of one group; of the first eight fields only those named by `by` are present."""

    tenant: str | None = None
    key: str | None = None
    model: str | None = None
    version: int | None = None
    source: str | None = None
    endpoint: str | None = None
    outcome: str | None = None
    day: date | None = None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    seconds: float
    cost: str
    currency: str


class UsageList(BaseModel):
    """A usage report."""

    object: str = "list"
    data: list[UsageLine]


async def _ledger(request: Request) -> Ledger:
    ledger: Ledger | None = getattr(request.app.state, "ledger", None)
    if ledger is None:
        raise NotFoundError("no usage is written down here: set `ledger.enabled` to true")
    return ledger


@router.get(
    "/admin/usage",
    response_model=None,
    responses={
        **error_responses(),
        200: {
            "model": UsageList,
            "content": {"text/csv": {"schema": {"type": "string"}}},
            "description": "Sums of usage",
        },
    },
)
async def usage(  # noqa: PLR0913, PLR0917 - as many as the query has
    ledger: Annotated[Ledger, Depends(_ledger)],
    tenant: str | None = None,
    key: str | None = None,
    model: str | None = None,
    since: date | None = None,
    until: date | None = None,
    by: str = "tenant,model",
    written_as: Annotated[ReportFormat, Query(alias="format")] = ReportFormat.JSON,
) -> Response:
    """Sums of usage; days are in UTC, and `until` is inclusive.

    Raises:
        InvalidRequestError: if `by` names an unknown column.
        NotFoundError: if the ledger is disabled.
        StoreError: if the database fails.
    """
    groups = parse_by(by)
    rows = await ledger.report(UsageQuery(tenant, key, model, since, until, groups))
    if written_as is ReportFormat.CSV:
        return Response(as_csv(rows, groups), media_type="text/csv")
    body = {"object": "list", "data": [row.as_json() for row in rows]}
    return Response(orjson.dumps(body), media_type="application/json")
