"""Client of the chat endpoint, for the terminal chat and for load: streaming over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import httpx

from enginehouse.errors import EngineUnavailableError, ServingError

_DATA = "data: "


class ChatClient:
    """Asks an OpenAI-compatible endpoint."""

    def __init__(self, base_url: str) -> None:
        # Loopback needs no proxy, whatever the environment says.
        timeout = httpx.Timeout(600.0, connect=5.0)
        self._http = httpx.Client(base_url=base_url, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def models(self) -> list[dict[str, Any]]:
        """What the endpoint serves.

        Raises:
            ServingError: if it does not answer, or refuses.
        """
        try:
            answer = self._http.get("/v1/models")
        except httpx.HTTPError as error:
            raise _unreachable(self._http, error) from error
        _raise_for_error(answer)
        return list(answer.json()["data"])

    def generators(self) -> list[dict[str, Any]]:
        """The served models that one can chat with; an adapter comes after its model.

        Raises:
            ServingError: if the endpoint does not answer.
        """
        return [m for m in self.models() if m["enginehouse"]["kind"] == "generator"]

    def stream(
        self, model: str, messages: Sequence[Mapping[str, str]], **options: Any
    ) -> Iterator[str]:
        """Pieces of the assistant's answer.

        Raises:
            ServingError: if the endpoint refuses, or fails on the way.
        """
        body = {"model": model, "messages": list(messages), "stream": True, **options}
        try:
            with self._http.stream("POST", "/v1/chat/completions", json=body) as answer:
                if answer.is_error:
                    answer.read()
                _raise_for_error(answer)
                yield from _pieces(answer)
        except httpx.HTTPError as error:
            raise _unreachable(self._http, error) from error


def _pieces(answer: httpx.Response) -> Iterator[str]:
    for line in answer.iter_lines():
        if not line.startswith(_DATA) or line == f"{_DATA}[DONE]":
            continue
        payload = json.loads(line.removeprefix(_DATA))
        if "error" in payload:
            raise ServingError(payload["error"]["message"])
        for choice in payload["choices"]:
            if text := choice["delta"].get("content"):
                yield text


def _raise_for_error(answer: httpx.Response) -> None:
    if answer.is_error:
        try:
            message = answer.json()["error"]["message"]
        except (ValueError, KeyError):
            message = f"HTTP {answer.status_code}"
        raise ServingError(message)


def _unreachable(http: httpx.Client, error: httpx.HTTPError) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"nothing answers at {http.base_url}: start the stack with `enginehouse up` ({error})"
    )
