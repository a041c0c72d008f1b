"""Triton's own control APIs, closed: a bare Triton with the flags that the stack gives it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc as triton
from enginehouse.client import AsyncTritonClient, TritonClient
from enginehouse.stack.stuck_loads import repository_index
from enginehouse.stack.triton_server import start_triton

from enginehouse.admin_token import ensure_admin_token
from enginehouse.errors import EngineUnavailableError, ServingError
from enginehouse.settings import load_settings
from enginehouse.triton_control import http_headers, triton_control_secret
from tests.conftest import stack_env, wait_until

_CLOSED = [
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/m/load"),
    ("POST", "/v2/repository/models/m/unload"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/trace/setting"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/r/register"),
    ("GET", "/v2/cudasharedmemory/status"),
]


@dataclass(frozen=True)
class Closed:
    """A Triton, and what opens it."""

    grpc: str
    http: str
    secret: str
    token: str
    log: Path


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    home = tmp_path_factory.mktemp("closed")
    env = stack_env(home / "home")
    settings = load_settings(env, cwd=home)
    process = start_triton(settings, settings.addresses, "triton", env)
    at, token = settings.addresses, ensure_admin_token(settings)
    secret = triton_control_secret(token)
    try:
        with TritonClient(at.triton_grpc_url) as client:
            wait_until(client.live, "Triton")
        yield Closed(at.triton_grpc_url, at.triton_http_url, secret, token, process.log)
    finally:
        process.stop(10.0)


def test_the_secret_opens_both_protocols(closed: Closed) -> None:
    with TritonClient(closed.grpc, control_secret=closed.secret) as client:
        assert client.repository_index() == []
        with pytest.raises(ServingError, match="failed to load 'm'"):
            client.load("m")

    async def index() -> list[tuple[str, str, str]]:
        async with AsyncTritonClient(closed.grpc, control_secret=closed.secret) as client:
            return await client.repository_index()

    assert asyncio.run(index()) == []
    assert repository_index(closed.http, closed.secret) == []


@pytest.mark.parametrize("secret", [None, "0" * 64])
def test_control_over_grpc_needs_the_secret(closed: Closed, secret: str | None) -> None:
    with TritonClient(closed.grpc, control_secret=secret) as client:
        for control in (
            client.repository_index,
            lambda: client.load("m"),
            lambda: client.unload("m"),
        ):
            with pytest.raises(EngineUnavailableError, match="restricted"):
                control()
    with triton.InferenceServerClient(closed.grpc) as raw:
        for read in (
            raw.get_trace_settings,
            raw.get_log_settings,
            raw.get_system_shared_memory_status,
            raw.get_cuda_shared_memory_status,
        ):
            with pytest.raises(triton.InferenceServerException, match="restricted"):
                read()


@pytest.mark.parametrize(("method", "path"), _CLOSED)
def test_control_over_http_needs_the_secret(closed: Closed, method: str, path: str) -> None:
    for headers in ({}, http_headers("0" * 64), {"Authorization": f"Bearer {closed.token}"}):
        answer = httpx.request(method, closed.http + path, headers=headers, json={})
        assert answer.status_code == 403
    opened = httpx.request(method, closed.http + path, headers=http_headers(closed.secret), json={})
    assert opened.status_code != 403


def test_inference_and_metadata_stay_open(closed: Closed) -> None:
    assert httpx.get(f"{closed.http}/v2").json()["name"] == "triton"
    assert httpx.get(f"{closed.http}/v2/health/ready").status_code == 200
    # No such model: but it was looked for.
    answer = httpx.post(f"{closed.http}/v2/models/m/infer", json={"inputs": []})
    assert answer.status_code not in {401, 403}


def test_the_secret_is_not_in_the_log(closed: Closed) -> None:
    text = closed.log.read_text()
    assert "Started HTTPService" in text
    assert closed.secret not in text
