from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.errors import install_error_handlers
from enginehouse.gateway.access import admin
from enginehouse.gateway.access.config import AccessConfig
from enginehouse.gateway.access.guard import Guard, open_access
from enginehouse.gateway.database.database import Database
from fastapi import FastAPI
from starlette.testclient import TestClient

from enginehouse.admin_token import ensure_admin_token
from enginehouse.settings import EndpointSettings, Settings


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    settings = Settings(home=tmp_path, endpoint=EndpointSettings(keys=True))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.database_url)
        async with open_access(settings, AccessConfig(rotation_grace_s=60.0), database) as access:
            app.state.access = access
            yield
        database.close()

    app = FastAPI(lifespan=lifespan)
    install_error_handlers(app)
    app.include_router(admin.router)

    @app.post("/v1/completions")
    async def _complete() -> dict[str, str]:
        return {}

    return app


@pytest.fixture
def http(app: FastAPI, tmp_path: Path) -> Iterator[TestClient]:
    app.add_middleware(Guard)
    token = ensure_admin_token(Settings(home=tmp_path))
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def _create(http: TestClient, **fields: Any) -> dict[str, Any]:
    answer = http.post("/admin/keys", json={"tenant": "acme", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def _opens(http: TestClient, key: str) -> bool:
    headers = {"Authorization": f"Bearer {key}"}
    return http.post("/v1/completions", headers=headers).status_code == 200


def test_a_key_is_made_used_rotated_and_revoked(http: TestClient) -> None:
    made = _create(http, models=["smollm2@8"], expires_in_s=3600, note="shop")
    assert (made["state"], made["roles"], made["models"]) == (
        "active",
        ["inference"],
        ["smollm2@8"],
    )
    assert made["expires_at"] == made["created_at"] + 3600
    assert _opens(http, made["key"])

    rotated = http.post(f"/admin/keys/{made['id']}/rotate").json()
    assert rotated["previous_until"] == pytest.approx(rotated["rotated_at"] + 60.0)
    assert _opens(http, made["key"])
    assert _opens(http, rotated["key"])
    last = http.post(f"/admin/keys/{made['id']}/rotate", json={"grace_s": 0}).json()
    assert [_opens(http, made["key"]), _opens(http, rotated["key"])] == [False, False]
    assert _opens(http, last["key"])

    revoked = http.delete(f"/admin/keys/{made['id']}")
    assert revoked.json()["state"] == "revoked"
    assert not _opens(http, last["key"])
    assert http.delete(f"/admin/keys/{made['id']}").json() == revoked.json()


def test_lists_show_every_key_and_no_secret(http: TestClient) -> None:
    first, second = _create(http), _create(http, tenant="other", roles=["read", "admin"])
    listed = http.get("/admin/keys").json()
    assert {key["id"] for key in listed["data"]} == {first["id"], second["id"]}
    assert all("key" not in key for key in listed["data"])
    (other,) = http.get("/admin/keys?tenant=other").json()["data"]
    assert (other["id"], other["roles"]) == (second["id"], ["admin", "read"])
    assert http.get(f"/admin/keys/{second['id']}").json() == other


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/keys/000000000000"),
        ("DELETE", "/admin/keys/000000000000"),
        ("POST", "/admin/keys/000000000000/rotate"),
    ],
)
def test_an_unknown_key_is_not_found(http: TestClient, method: str, path: str) -> None:
    answer = http.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "tenant"),
        ({"tenant": "\ud800"}, "tenant"),
        ({"tenant": "acme", "note": "\x00"}, "note"),
        ({"tenant": "acme", "models": ["a b"]}, "models[0]"),
        ({"tenant": "acme", "expires_in_s": 1e300}, "expires_in_s"),
        ({"tenant": "acme", "id": "mine"}, "id"),
    ],
)
def test_a_bad_field_is_refused_by_name(
    http: TestClient, body: dict[str, object], param: str
) -> None:
    as_json = {"Content-Type": "application/json"}
    answer = http.post("/admin/keys", content=json.dumps(body), headers=as_json)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].endswith(param)


def test_without_a_guard_the_routes_stay_closed(app: FastAPI) -> None:
    with TestClient(app) as client:
        assert client.get("/admin/keys").status_code == 401
        assert client.post("/admin/keys", json={"tenant": "acme"}).status_code == 401


def test_the_schema_names_every_answer(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    operations = [op for path, ops in paths.items() if "admin" in path for op in ops.values()]
    assert len(operations) == 5
    for operation in operations:
        assert {"400", "401", "403", "404", "503"} <= operation["responses"].keys()
