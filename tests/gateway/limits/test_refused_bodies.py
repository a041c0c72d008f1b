"""Bodies that are refused count as requests, and past the limit none is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.app import create_app
from enginehouse.api.json_route import JsonRequest
from starlette.testclient import TestClient

from enginehouse.settings import ApiSettings, Settings
from tests.api.conftest import MakeRevision
from tests.client.fakes import FakeFleet, generator

_LIMITS = "limits: {default: {requests_per_minute: 3}}"
_CHAT = "/v1/chat/completions"


@pytest.fixture
def http(tmp_path: Path, make_revision: MakeRevision) -> Iterator[TestClient]:
    (tmp_path / "endpoint.yaml").write_text(_LIMITS)
    api = ApiSettings(max_body_bytes=1000)
    settings = Settings(home=tmp_path, fleet="host:1", api=api)
    replica = generator(1)
    app = create_app(settings, connect=FakeFleet([replica]).connect, open_version=make_revision)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {"messages": 1}}, 400),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"json": {"x": {}}}, 400),
        ({"content": b"a", "headers": {"content-type": "text/plain"}}, 415),
        ({"json": "a" * 2000}, 413),
    ],
)
def test_refused_bodies_are_counted_and_then_not_read(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, sent: dict[str, Any], status: int
) -> None:
    got = [http.post(_CHAT, **sent).status_code for _ in range(4)]
    assert got == [status] * 3 + [429]

    async def never(_: Any) -> None:
        raise AssertionError("the body is read")

    monkeypatch.setattr(JsonRequest, "read", never)
    refused = http.post(_CHAT, **sent)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"


def test_refused_bodies_leave_less_for_good_ones(http: TestClient) -> None:
    for _ in range(2):
        assert http.post(_CHAT, json={"messages": 1}).status_code == 400
    good = {"model": "no-such-model", "messages": [{"role": "user", "content": "Hi"}]}
    left = http.post(_CHAT, json=good)
    assert left.headers["x-ratelimit-remaining-requests"] == "0"
    assert http.post(_CHAT, json=good).status_code == 429


def test_another_tenant_and_operators_are_not_touched(http: TestClient) -> None:
    for _ in range(5):
        http.post(_CHAT, json={"messages": 1})
    other = {"x-enginehouse-tenant": "other"}
    assert http.post(_CHAT, json={"messages": 1}, headers=other).status_code == 400
    assert http.post("/admin/keys", json={}).status_code == 401
    assert http.get("/health").status_code == 200
