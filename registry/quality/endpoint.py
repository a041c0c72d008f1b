"""A client of the OpenAI-compatible endpoint: chat, embeddings, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx
import numpy as np
from enginehouse.client.http import open_http, raise_for_error, unreachable
from numpy.typing import NDArray

_BATCH = 64


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A complete answer.

    Attributes:
        version: the version that answered, from the adapter's header; None from other servers.
    """

    text: str
    finish: str | None
    request_id: str
    completion_tokens: int
    version: int | None


class Endpoint:
    """Calls an OpenAI-compatible endpoint; safe to use from several threads."""

    def __init__(self, base_url: str, *, timeout_s: float = 600.0) -> None:
        self._http = open_http(base_url, timeout_s=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def chat(self, model: str, messages: Sequence[Mapping[str, Any]], **options: Any) -> ChatAnswer:
        """Request one answer; `model` may be ``name@version``.

        Raises:
            ServingError: if the endpoint does not answer, or refuses.
        """
        body = {"model": model, "messages": list(messages), **options}
        response = self._post("/v1/chat/completions", body)
        answer = response.json()
        choice = answer["choices"][0]
        version = response.headers.get("x-enginehouse-version", "")
        return ChatAnswer(
            text=choice["message"]["content"] or "",
            finish=choice["finish_reason"],
            request_id=answer["id"],
            completion_tokens=answer["usage"]["completion_tokens"],
            version=int(version) if version.isdecimal() else None,
        )

    def embed(self, model: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Embedding vectors of texts, shape [texts, dimensions].

        Raises:
            ServingError: if the endpoint does not answer, or refuses.
        """
        rows: list[list[float]] = []
        for place in range(0, len(texts), _BATCH):
            body = {"model": model, "input": list(texts[place : place + _BATCH])}
            data = self._post("/v1/embeddings", body).json()["data"]
            rows += [item["embedding"] for item in sorted(data, key=lambda item: item["index"])]
        return np.asarray(rows, dtype=np.float64)

    def embedding_model(self) -> str | None:
        """The first embedding model that the endpoint serves, or None.

        Raises:
            ServingError: if the endpoint does not answer.
        """
        try:
            response = self._http.get("/v1/models")
        except httpx.HTTPError as error:
            raise unreachable(self._http, error) from error
        raise_for_error(response)
        for model in response.json()["data"]:
            if model.get("enginehouse", {}).get("kind") == "embedding":
                return str(model["id"])
        return None

    def _post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        try:
            response = self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise unreachable(self._http, error) from error
        raise_for_error(response)
        return response
