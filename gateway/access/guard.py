"""Who may come in: checked from the headers, before a body is read."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from enginehouse.api.caller import TENANT_HEADER, Caller
from enginehouse.api.errors import error_response
from enginehouse.gateway.access.config import AccessConfig
from enginehouse.gateway.access.keyring import Keyring
from enginehouse.gateway.access.keys import KeyStore
from enginehouse.gateway.access.request import TENANT_PATTERN
from enginehouse.gateway.access.rules import AccessRule, rule_of
from enginehouse.gateway.access.secret import Pepper
from enginehouse.gateway.database.database import Database
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from enginehouse.admin_token import ensure_admin_token, is_admin_token
from enginehouse.errors import (
    EnginehouseError,
    ForbiddenError,
    InvalidRequestError,
    UnauthenticatedError,
)
from enginehouse.settings import Settings

#: Where a key may stand beside `Authorization: Bearer`.
_KEY_HEADERS = ("api-key", "x-api-key")
#: A proxy stands between: the caller is not on this host although the connection is.
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
_TENANT = re.compile(TENANT_PATTERN)


@dataclass(frozen=True, slots=True)
class Access:
    """Keys, and who they let in.

    Attributes:
        asks: whether a key is asked for.
        store: the keys as they are kept; blocks.
        keyring: the keys as requests meet them.
        admin_token: reads the token that opens `/admin`; blocks.
    """

    asks: bool
    store: KeyStore
    keyring: Keyring
    config: AccessConfig
    admin_token: Callable[[], str]

    async def admit(self, request: HTTPConnection) -> Caller:
        """Who calls, if they may.

        Raises:
            UnauthenticatedError: if the key is missing or not valid.
            ForbiddenError: if its roles do not open this route.
            InvalidRequestError: if keys are off and the tenant is no name.
            StoreError: if a key must be read and the database fails.
        """
        rule = rule_of(request.scope["method"], _path(request.scope))
        caller = await self._caller(request, rule)
        if rule.roles and not rule.roles & caller.roles:
            needed = " or ".join(sorted(rule.roles))
            raise ForbiddenError(f"this route needs a key with the role {needed}")
        return caller

    async def _caller(self, request: HTTPConnection, rule: AccessRule) -> Caller:
        given = request.scope.get("state", {}).get("caller")
        if isinstance(given, Caller):
            # The process calls itself, for a batch; nothing from outside reaches the scope.
            return given
        if rule.token:
            token = await asyncio.to_thread(self.admin_token)
            if is_admin_token(request.headers.get("authorization"), token):
                return Caller()
        elif not self.asks:
            return Caller(tenant=_tenant(request.headers))
        if not rule.roles or (rule.from_here and _is_here(request)):
            return Caller()
        return await self.keyring.caller(_key(request.headers, rule))


@asynccontextmanager
async def open_access(
    settings: Settings, config: AccessConfig, database: Database
) -> AsyncIterator[Access]:
    """Keys on a database.

    Raises:
        SettingsError: if the pepper's file cannot be used.
    """
    pepper = await asyncio.to_thread(Pepper.of, settings)
    store = KeyStore(database, pepper)
    keyring = Keyring(store, pepper, config)
    token = partial(ensure_admin_token, settings)
    try:
        yield Access(settings.endpoint.keys, store, keyring, config, token)
    finally:
        await keyring.close()


class Guard:
    """ASGI middleware: puts the caller into `request.state.caller`, or answers 401 or 403.

    The application has an `Access` in ``app.state.access``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        access: Access = scope["app"].state.access
        try:
            caller = await access.admit(HTTPConnection(scope))
        except EnginehouseError as error:
            # The handlers of the application stand behind this.
            await error_response(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


def _path(scope: Scope) -> str:
    """The path as routes are matched with it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _key(headers: Headers, rule: AccessRule) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given.strip():
        return given.strip()
    for name in _KEY_HEADERS:
        if headers.get(name):
            return headers[name].strip()
    also = " or the admin token" if rule.token else ""
    raise UnauthenticatedError(f"no API key{also} was sent: give Authorization: Bearer YOUR_KEY")


def _tenant(headers: Headers) -> str:
    """The tenant that a caller names where keys are off."""
    name = headers.get(TENANT_HEADER)
    if not name:
        return Caller().tenant
    if not _TENANT.fullmatch(name):
        raise InvalidRequestError(
            f"{TENANT_HEADER} is {name[:80]!r}: give 1 to 64 letters, digits, '.', '_' and '-', a "
            "letter or digit first",
            field=TENANT_HEADER,
        )
    return name


def _is_here(request: HTTPConnection) -> bool:
    """Whether the caller is on this host, and no proxy speaks for somebody else."""
    if request.client is None or any(name in request.headers for name in _PROXY_HEADERS):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
