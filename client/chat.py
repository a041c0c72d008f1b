"""Streaming client of the chat endpoint over HTTP, for the terminal chat and for load tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import httpx
from enginehouse.client.http import events, open_http, raise_for_error, unreachable


class ChatClient:
    """Client of an OpenAI-compatible endpoint."""

    def __init__(self, base_url: str) -> None:
        self._http = open_http(base_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def models(self) -> list[dict[str, Any]]:
        """The models that the endpoint serves.

        Raises:
            ServingError: if it does not answer, or refuses.
        """
        try:
            answer = self._http.get("/v1/models")
        except httpx.HTTPError as error:
            raise unreachable(self._http, error) from error
        raise_for_error(answer)
        return list(answer.json()["data"])

    def generators(self) -> list[dict[str, Any]]:
        """The served chat models; a LoRA adapter follows its base model.

        Raises:
            ServingError: if the endpoint does not answer.
        """
        return [m for m in self.models() if m["enginehouse"]["kind"] == "generator"]

    def stream(
        self, model: str, messages: Sequence[Mapping[str, str]], **options: Any
    ) -> Iterator[str]:
        """Stream the assistant's answer as chunks of text.

        Raises:
            ServingError: if the endpoint rejects the request, or fails while streaming.
        """
        body = {"model": model, "messages": list(messages), "stream": True, **options}
        try:
            with self._http.stream("POST", "/v1/chat/completions", json=body) as answer:
                if answer.is_error:
                    answer.read()
                raise_for_error(answer)
                yield from _pieces(answer)
        except httpx.HTTPError as error:
            raise unreachable(self._http, error) from error


def _pieces(answer: httpx.Response) -> Iterator[str]:
    for chunk in events(answer):
        for choice in chunk["choices"]:
            if text := choice["delta"].get("content"):
                yield text
