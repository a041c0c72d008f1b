"""The adapter as an OpenAI client sees it: answers, vectors, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from enginehouse.errors import EngineUnavailableError, ServingError

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Attributes:
        version: that answered, from the adapter's header; None if another server answered.
    """

    text: str
    finish: str | None
    request_id: str
    completion_tokens: int
    version: int | None


class Endpoint:
    """Asks an OpenAI-compatible endpoint, from several threads if need be."""

    def __init__(self, base_url: str, *, timeout_s: float = 600.0) -> None:
        # Loopback needs no proxy, whatever the environment says.
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def chat(self, model: str, messages: Sequence[Mapping[str, Any]], **options: Any) -> Answer:
        """One answer; `model` may be ``name@version``.

        Raises:
            ServingError: if the endpoint does not answer, or refuses.
        """
        body = {"model": model, "messages": list(messages), **options}
        response = self._post("/v1/chat/completions", body)
        answer = response.json()
        choice = answer["choices"][0]
        version = response.headers.get("x-enginehouse-version", "")
        return Answer(
            text=choice["message"]["content"] or "",
            finish=choice["finish_reason"],
            request_id=answer["id"],
            completion_tokens=answer["usage"]["completion_tokens"],
            version=int(version) if version.isdecimal() else None,
        )

    def embed(self, model: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Vectors of texts, shape [texts, dimensions].

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
        """The first embedding model that is served, or None.

        Raises:
            ServingError: if the endpoint does not answer.
        """
        try:
            response = self._http.get("/v1/models")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        _raise_for_error(response)
        for model in response.json()["data"]:
            if model.get("enginehouse", {}).get("kind") == "embedding":
                return str(model["id"])
        return None

    def _post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        try:
            response = self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        _raise_for_error(response)
        return response

    def _unreachable(self, error: httpx.HTTPError) -> EngineUnavailableError:
        return EngineUnavailableError(
            f"nothing answers at {self._http.base_url}: start the stack with `enginehouse up` "
            f"({error})"
        )


def _raise_for_error(response: httpx.Response) -> None:
    if response.is_error:
        try:
            message = response.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = f"HTTP {response.status_code}"
        raise ServingError(message)
