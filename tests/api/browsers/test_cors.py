from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from enginehouse.errors import SettingsError
from enginehouse.settings import load_settings
from tests.api.speaking import speaking

_PAGE = "https://chat.example:8443"
_PREFLIGHT = {
    "Origin": _PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}


def _preflight(http: TestClient) -> dict[str, str]:
    return dict(http.options("/v1/chat/completions", headers=_PREFLIGHT).headers)


def test_without_origins_no_page_is_let_in(tmp_path: Path) -> None:
    with speaking(tmp_path) as adapter:
        assert not [name for name in _preflight(adapter.http) if name.startswith("access-")]
        answer = adapter.http.get("/v1/models", headers={"Origin": _PAGE})
        assert not [name for name in answer.headers if name.startswith("access-")]


def test_a_preflight_is_answered_before_keys_are_asked_for(tmp_path: Path) -> None:
    with speaking(tmp_path, keys=True, cors_origins=(_PAGE,)) as adapter:
        answer = adapter.http.options("/v1/chat/completions", headers=_PREFLIGHT)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == _PAGE
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "x-stainless-os" in answer.headers["access-control-allow-headers"]
        refused = adapter.http.get("/v1/usage/x", headers={"Origin": _PAGE})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == _PAGE


def test_another_origin_gets_no_permission(tmp_path: Path) -> None:
    with speaking(tmp_path, cors_origins=(_PAGE,)) as adapter:
        other = adapter.http.options(
            "/v1/chat/completions", headers=_PREFLIGHT | {"Origin": "https://evil.example"}
        )
        assert "access-control-allow-origin" not in other.headers


def test_every_origin_goes_without_credentials(tmp_path: Path) -> None:
    with speaking(tmp_path, cors_origins=("*",)) as adapter:
        for headers in ({}, {"Cookie": "a=b"}):
            got = adapter.http.get("/v1/models", headers={"Origin": _PAGE, **headers})
            assert got.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in got.headers
            assert "x-request-id" in got.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in _preflight(adapter.http)


def test_a_page_can_read_an_unexpected_error(tmp_path: Path) -> None:
    with speaking(tmp_path, cors_origins=(_PAGE,)) as adapter:
        app = adapter.http.app
        assert isinstance(app, FastAPI)
        app.state.enginehouse = None
        http = TestClient(app, raise_server_exceptions=False)
        answer = http.get("/v1/models", headers={"Origin": _PAGE})
        assert answer.status_code == 500
        assert answer.headers["access-control-allow-origin"] == _PAGE


@pytest.mark.parametrize(
    ("raw", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        (
            "https://a.example, http://localhost:3000,http://[::1]:80",
            ("https://a.example", "http://localhost:3000", "http://[::1]:80"),
        ),
        ("chrome-extension://abc", ("chrome-extension://abc",)),
    ],
)
def test_origins_are_read(raw: str, origins: tuple[str, ...]) -> None:
    settings = load_settings({"ENGINEHOUSE_CORS_ORIGINS": raw}, cwd=Path("/x"))
    assert settings.api.cors_origins == origins


@pytest.mark.parametrize(
    "raw", ["a.example", "https://a.example/", "https://A.example", "*,https://a.example", "null"]
)
def test_what_no_browser_sends_is_refused(raw: str) -> None:
    with pytest.raises(SettingsError, match="ENGINEHOUSE_CORS_ORIGINS"):
        load_settings({"ENGINEHOUSE_CORS_ORIGINS": raw}, cwd=Path("/x"))
