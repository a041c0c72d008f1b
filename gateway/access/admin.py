"""Routes `/admin/keys`: create, list, rotate and revoke API keys as an administrator."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Annotated, Any

from enginehouse.api.boundary import RequestModel
from enginehouse.api.caller import Caller, Role
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import ErrorBody
from enginehouse.gateway.access.guard import Access
from enginehouse.gateway.access.request import TENANT_PATTERN, KeyRequest
from enginehouse.gateway.access.secret import ID_CHARACTERS
from enginehouse.gateway.access.views import IssuedKeyView, KeyList, KeyView
from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field

from enginehouse.errors import UnauthenticatedError

_MOST_GRACE_S = 30 * 86_400.0


class RotateRequest(RequestModel):
    """How a key is rotated.

    Attributes:
        grace_s: seconds for which the old secret stays valid; None uses the endpoint's default.
    """

    grace_s: Annotated[float, Field(ge=0.0, le=_MOST_GRACE_S, allow_inf_nan=False)] | None = None


async def _access(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


async def _administrator(request: Request) -> Caller:
    """The caller, if it has the admin role.

    Without authentication these routes reject everybody.
    """
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller) or Role.ADMIN not in caller.roles:
        raise UnauthenticatedError("this route needs the admin token or an admin key")
    return caller


_Keys = Annotated[Access, Depends(_access)]
_KeyId = Annotated[str, Path(pattern=rf"^[0-9a-f]{{{ID_CHARACTERS}}}$")]
_ERRORS: dict[int | str, dict[str, Any]] = {
    status.value: {"model": ErrorBody}
    for status in (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
}
router = APIRouter(
    route_class=JsonRoute,
    prefix="/admin/keys",
    tags=["admin"],
    dependencies=[Depends(_administrator)],
    responses=_ERRORS,
)


@router.post("", status_code=HTTPStatus.CREATED)
async def create_key(body: KeyRequest, access: _Keys) -> IssuedKeyView:
    """Create a key. Its secret is returned only in this answer."""
    issued = await asyncio.to_thread(access.store.create, body)
    return IssuedKeyView.issued(issued, time.time())


@router.get("")
async def list_keys(
    access: _Keys, tenant: Annotated[str | None, Query(pattern=TENANT_PATTERN)] = None
) -> KeyList:
    """All keys, or those of one tenant, newest first, including revoked and expired ones."""
    keys = await asyncio.to_thread(access.store.list, tenant)
    now = time.time()
    return KeyList(data=[KeyView.of(key, now) for key in keys])


@router.get("/{key_id}")
async def get_key(key_id: _KeyId, access: _Keys) -> KeyView:
    """One key."""
    return KeyView.of(await asyncio.to_thread(access.store.find, key_id), time.time())


@router.post("/{key_id}/rotate")
async def rotate_key(
    key_id: _KeyId, access: _Keys, body: RotateRequest | None = None
) -> IssuedKeyView:
    """Give a key a new secret; the old one stays valid for the grace period."""
    asked = None if body is None else body.grace_s
    grace_s = access.config.rotation_grace_s if asked is None else asked
    issued = await asyncio.to_thread(access.store.rotate, key_id, grace_s)
    access.keyring.forget(key_id)
    return IssuedKeyView.issued(issued, time.time())


@router.delete("/{key_id}")
async def revoke_key(key_id: _KeyId, access: _Keys) -> KeyView:
    """Revoke a key. This adapter enforces it immediately, others within seconds.

    It stays listed.
    """
    key = await asyncio.to_thread(access.store.revoke, key_id)
    access.keyring.forget(key_id)
    return KeyView.of(key, time.time())
