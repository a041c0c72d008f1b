from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from enginehouse.api.caller import Caller, Role
from enginehouse.api.errors import install_error_handlers
from enginehouse.gateway.access import admin
from enginehouse.gateway.access.config import AccessConfig
from enginehouse.gateway.access.guard import Guard, open_access
from enginehouse.gateway.access.keys import KeyStore
from enginehouse.gateway.access.request import KeyRequest
from enginehouse.gateway.access.secret import Pepper
from enginehouse.gateway.database.database import Database
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from enginehouse.admin_token import ensure_admin_token
from enginehouse.settings import EndpointSettings, Settings

_ELSEWHERE = ("192.0.2.7", 5000)
_HERE = ("127.0.0.1", 5000)


def _app(settings: Settings) -> FastAPI:
    """An application whose routes say who called."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.database_url)
        async with open_access(settings, AccessConfig(), database) as access:
            app.state.access = access
            yield
        database.close()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(Guard)
    install_error_handlers(app)
    app.include_router(admin.router)

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"], include_in_schema=False)
    async def who(path: str, request: Request) -> dict[str, Any]:
        await request.body()
        caller: Caller = request.state.caller
        return {"path": path, "tenant": caller.tenant, "key_id": caller.key_id}

    return app


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", endpoint=EndpointSettings(keys=True))


@pytest.fixture
def http(settings: Settings) -> Iterator[TestClient]:
    with TestClient(_app(settings), client=_ELSEWHERE) as client:
        yield client


@pytest.fixture
def open_http(settings: Settings) -> Iterator[TestClient]:
    """The same with keys off."""
    with TestClient(_app(replace(settings, endpoint=EndpointSettings()))) as client:
        yield client


@pytest.fixture
def make_key(settings: Settings) -> Iterator[Callable[..., str]]:
    database = Database(settings.database_url)
    store = KeyStore(database, Pepper.of(settings))

    def make(*roles: Role) -> str:
        return store.create(KeyRequest(tenant="acme", roles=frozenset(roles))).text

    yield make
    database.close()


def _bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize(
    ("header", "prefix"),
    [
        ("Authorization", "Bearer "),
        ("authorization", "bearer  "),
        ("api-key", ""),
        ("X-Api-Key", ""),
    ],
)
def test_a_key_opens_from_each_header_that_clients_use(
    http: TestClient, make_key: Callable[..., str], header: str, prefix: str
) -> None:
    key = make_key(Role.INFERENCE)
    answer = http.post("/v1/chat/completions", headers={header: prefix + key})
    assert answer.status_code == 200
    assert answer.json()["tenant"] == "acme"
    assert answer.json()["key_id"] == key.split("_")[1]


def test_the_tenant_is_the_keys_whatever_the_header_says(
    http: TestClient, make_key: Callable[..., str]
) -> None:
    headers = {**_bearer(make_key(Role.INFERENCE)), "x-enginehouse-tenant": "other"}
    assert http.post("/v1/completions", headers=headers).json()["tenant"] == "acme"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer eh_000000000000_" + "A" * 43},
        {"api-key": "sk-nothing"},
        {"Authorization": "Bearer \xe9\xff"},
    ],
)
def test_without_a_valid_key_the_door_stays_shut(http: TestClient, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = http.post("/v1/chat/completions", headers=raw, content=b"not json")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")


_INFERENCE, _READ, _ADMIN = Role.INFERENCE, Role.READ, Role.ADMIN


@pytest.mark.parametrize(
    ("method", "path", "opened_by"),
    [
        ("POST", "/v1/chat/completions", {_INFERENCE}),
        ("POST", "/v1/embeddings", {_INFERENCE}),
        ("POST", "/tokenize", {_INFERENCE}),
        ("GET", "/v1/responses/resp_1", {_INFERENCE}),
        ("POST", "/v1/messages", {_INFERENCE}),
        ("POST", "/v1/messages/count_tokens", {_INFERENCE}),
        ("DELETE", "/v1/files/file_1", {_INFERENCE}),
        ("POST", "/v1/models", {_INFERENCE}),
        ("GET", "/v1/models", {_INFERENCE, _READ, _ADMIN}),
        ("GET", "/v1/models/smollm2@8", {_INFERENCE, _READ, _ADMIN}),
        ("GET", "/openapi.json", {_INFERENCE, _READ, _ADMIN}),
        ("GET", "/v1/usage", {_READ, _ADMIN}),
        ("GET", "/metrics", {_READ, _ADMIN}),
        ("GET", "/admin/keys", {_ADMIN}),
        ("GET", "/admin/usage", {_ADMIN}),
        ("GET", "/adminkeys", {_INFERENCE}),
        ("GET", "/something/else", {_INFERENCE}),
    ],
)
def test_each_route_has_the_role_that_it_needs(
    http: TestClient, make_key: Callable[..., str], method: str, path: str, opened_by: set[Role]
) -> None:
    codes = {
        role: http.request(method, path, headers=_bearer(make_key(role))).status_code
        for role in Role
    }
    assert codes == {role: 200 if role in opened_by else 403 for role in Role}
    assert http.request(method, path).status_code == 401


def test_a_refused_role_is_told_which_is_needed(
    http: TestClient, make_key: Callable[..., str]
) -> None:
    answer = http.post("/v1/chat/completions", headers=_bearer(make_key(Role.READ)))
    assert answer.json()["error"]["type"] == "permission_error"
    assert "inference" in answer.json()["error"]["message"]


def test_health_stays_open(http: TestClient) -> None:
    assert http.get("/health/live").status_code == 200
    assert http.get("/health/ready").status_code == 200


def test_metrics_are_open_to_this_host_alone(settings: Settings) -> None:
    with TestClient(_app(settings), client=_HERE) as here:
        assert here.get("/metrics").status_code == 200
        assert here.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401
        assert here.get("/v1/models").status_code == 401
        assert here.post("/metrics").status_code == 401


def test_a_prefix_before_all_paths_opens_nothing(
    settings: Settings, make_key: Callable[..., str]
) -> None:
    with TestClient(_app(settings), client=_ELSEWHERE, root_path="/llm") as client:
        headers = _bearer(make_key(Role.INFERENCE))
        assert client.get("/llm/admin/keys", headers=headers).status_code == 403
        assert client.post("/llm/v1/completions", headers=headers).status_code == 200


def test_a_call_of_the_process_itself_keeps_its_caller(settings: Settings) -> None:
    app = _app(settings)
    seen: list[str] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        caller = Caller("batcher", "0" * 12, frozenset({Role.INFERENCE}))
        await app({**scope, "state": {"caller": caller}}, receive, send)

    async def test() -> None:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(inside), base_url="http://a") as http,
        ):
            seen.append((await http.post("/v1/completions")).json()["tenant"])
            assert (await http.get("/admin/keys")).status_code == 403

    asyncio.run(test())
    assert seen == ["batcher"]


def test_with_keys_off_anybody_calls_and_may_name_a_tenant(open_http: TestClient) -> None:
    assert open_http.post("/v1/completions").json() == {
        "path": "v1/completions",
        "tenant": "default",
        "key_id": None,
    }
    named = open_http.get("/v1/models", headers={"x-enginehouse-tenant": "acme"})
    assert named.json()["tenant"] == "acme"
    wrong = open_http.get("/v1/models", headers={"x-enginehouse-tenant": "a b"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "x-enginehouse-tenant"


def test_with_keys_off_the_admin_api_still_asks(
    open_http: TestClient, settings: Settings, make_key: Callable[..., str]
) -> None:
    assert open_http.get("/admin/keys").status_code == 401
    assert open_http.get("/admin/keys", headers=_bearer("x")).status_code == 401
    token = _bearer(ensure_admin_token(settings))
    assert open_http.get("/admin/keys", headers=token).status_code == 200
    assert open_http.get("/admin/keys", headers=_bearer(make_key(Role.ADMIN))).status_code == 200


def test_no_key_is_logged(
    http: TestClient, make_key: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    key = make_key(Role.READ)
    with caplog.at_level(logging.DEBUG):
        http.post("/v1/completions", headers=_bearer(key))
        http.post("/v1/completions", headers=_bearer(key[:-1] + "!"))
        http.get("/v1/usage", headers=_bearer(key))
    assert key[16:-1] not in caplog.text
