"""Shared parts of the HTTP clients: connection, errors, server-sent events."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx

from enginehouse.errors import EngineUnavailableError, ServingError
from enginehouse.server_sent_events import data_of
from enginehouse.settings import ClientSettings, read
from enginehouse.tls import tls_context

_DONE = b"[DONE]"
_TIMEOUT_S = 600.0
_CONNECT_TIMEOUT_S = 5.0


def key_from_environment() -> str | None:
    """The API key in ``ENGINEHOUSE_API_KEY``; None if it is not set.

    Raises:
        SettingsError: if it has a character that a header cannot carry.
    """
    return read(ClientSettings, os.environ).api_key


def open_http(
    base_url: str,
    *,
    timeout_s: float = _TIMEOUT_S,
    transport: httpx.BaseTransport | None = None,
    api_key: str | None = None,
) -> httpx.Client:
    """Open an HTTP client that ignores proxy settings.

    Args:
        timeout_s: time limit for a response.
        transport: replaces the network, for tests.
        api_key: API key of the endpoint; None uses ``ENGINEHOUSE_API_KEY``, if it is set.
    """
    key = api_key or key_from_environment()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
    # The environment's proxy must not be used for loopback connections.
    return httpx.Client(
        base_url=base_url,
        timeout=timeout,
        trust_env=False,
        transport=transport,
        headers=headers,
        verify=tls_context(base_url),
    )


def raise_for_error(answer: httpx.Response) -> None:
    """Raise if the response is an error.

    Raises:
        ServingError: with the adapter's error message.
    """
    if answer.is_error:
        try:
            message = str(answer.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = f"HTTP {answer.status_code}"
        raise ServingError(message)


def unreachable(http: httpx.Client, error: httpx.HTTPError) -> EngineUnavailableError:
    """The exception for an endpoint that does not answer."""
    return EngineUnavailableError(
        f"nothing answers at {http.base_url}: start the stack with `enginehouse up` ({error})"
    )


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The JSON chunks of a streaming response.

    Raises:
        ServingError: if one of them is an error.
    """
    for data in data_of(answer.iter_bytes()):
        if data.strip() == _DONE:
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            raise ServingError(chunk["error"]["message"])
        yield chunk
