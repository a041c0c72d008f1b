"""What clients of the adapter's HTTP API share: connection, errors, server-sent events."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx

from enginehouse.errors import EngineUnavailableError, ServingError
from enginehouse.lines import lines_of
from enginehouse.tls import tls_context

_DATA, _DONE = b"data:", b"[DONE]"
_KEY_VARIABLE = "ENGINEHOUSE_API_KEY"
_TIMEOUT_S = 600.0
_CONNECT_TIMEOUT_S = 5.0


def key_from_environment() -> str | None:
    """The adapter's key in ``ENGINEHOUSE_API_KEY``, if it is set."""
    return os.environ.get(_KEY_VARIABLE) or None


def open_http(
    base_url: str,
    *,
    timeout_s: float = _TIMEOUT_S,
    transport: httpx.BaseTransport | None = None,
    api_key: str | None = None,
) -> httpx.Client:
    """A connection that no proxy sees.

    Args:
        timeout_s: for an answer.
        transport: replaces the network, for tests.
        api_key: where the endpoint asks for one; None takes ``ENGINEHOUSE_API_KEY``, if it is set.
    """
    key = api_key or key_from_environment()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
    # Loopback needs no proxy, whatever the environment says.
    return httpx.Client(
        base_url=base_url,
        timeout=timeout,
        trust_env=False,
        transport=transport,
        headers=headers,
        verify=tls_context(base_url),
    )


def raise_for_error(answer: httpx.Response) -> None:
    """Do nothing if the request was answered.

    Raises:
        ServingError: with the adapter's own sentence.
    """
    if answer.is_error:
        try:
            message = str(answer.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = f"HTTP {answer.status_code}"
        raise ServingError(message)


def unreachable(http: httpx.Client, error: httpx.HTTPError) -> EngineUnavailableError:
    """The exception for an adapter that does not answer."""
    return EngineUnavailableError(
        f"nothing answers at {http.base_url}: start the stack with `enginehouse up` ({error})"
    )


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The chunks of a streaming answer.

    Raises:
        ServingError: if one of them is an error.
    """
    for line in lines_of(answer.iter_bytes()):
        data = line.removeprefix(_DATA).strip()
        if not line.startswith(_DATA) or data == _DONE:
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            raise ServingError(chunk["error"]["message"])
        yield chunk
