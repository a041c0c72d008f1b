"""Predictions as MLflow asks for them, from the adapter's OpenAI API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from enginehouse.errors import EngineUnavailableError, InvalidRequestError, ServingError

#: The field that a request has to have → where it goes.
_PATHS = {
    "messages": "/v1/chat/completions",
    "prompt": "/v1/completions",
    "input": "/v1/embeddings",
}
_DATA = "data: "
_DONE = "[DONE]"
_TIMEOUT = httpx.Timeout(600.0, connect=5.0)


class Adapter:
    """Asks one adapter."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """`transport` replaces the network, for tests."""
        self._url = url
        self._transport = transport

    def predict(self, model: str, inputs: Any) -> dict[str, Any]:
        """Answers to one request or several.

        Returns:
            ``predictions``, a text or vector each, and ``responses``, the adapter's own bodies.

        Raises:
            InvalidRequestError: if `inputs` is no OpenAI request.
            ServingError: if the adapter refuses or does not answer.
        """
        requests = [_request(model, item) for item in _items(inputs)]
        responses = []
        with self._client() as http:
            for path, body in requests:
                answer = self._sent(http, path, body)
                responses.append(answer)
        found = [prediction for answer in responses for prediction in _predictions(answer)]
        return {"predictions": found, "responses": responses}

    def stream(self, model: str, inputs: Any) -> Iterator[dict[str, Any]]:
        """Chunks of one answer.

        Raises:
            InvalidRequestError: if `inputs` is no OpenAI request, or more than one.
            ServingError: if the adapter refuses, fails on the way or does not answer.
        """
        items = _items(inputs)
        if len(items) != 1:
            raise InvalidRequestError("a stream answers one request")
        path, body = _request(model, items[0])
        try:
            with (
                self._client() as http,
                http.stream("POST", path, json={**body, "stream": True}) as answer,
            ):
                if answer.is_error:
                    answer.read()
                    raise ServingError(_sentence(answer))
                yield from _chunks(answer)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._url, timeout=_TIMEOUT, trust_env=False, transport=self._transport
        )

    def _sent(self, http: httpx.Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = http.post(path, json=body)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.is_error:
            raise ServingError(_sentence(answer))
        return dict(answer.json())

    def _unreachable(self, error: httpx.HTTPError) -> EngineUnavailableError:
        return EngineUnavailableError(
            f"nothing answers at {self._url}: start the stack with `enginehouse up` ({error})"
        )


def _items(inputs: Any) -> list[Any]:
    """One request, a list of them, or the rows of a table."""
    if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):
        return list(inputs.to_dict(orient="records"))
    if isinstance(inputs, list) and not (inputs and _is_message(inputs[0])):
        return inputs
    return [inputs]


def _is_message(item: Any) -> bool:
    return isinstance(item, Mapping) and "role" in item


def _request(model: str, item: Any) -> tuple[str, dict[str, Any]]:
    """Where one item goes, and with which body; a text is a question, a list a conversation."""
    if isinstance(item, str):
        item = {"messages": [{"role": "user", "content": item}]}
    elif isinstance(item, list):
        item = {"messages": item}
    if isinstance(item, Mapping):
        for field, path in _PATHS.items():
            if field in item:
                return path, {"model": model, **item}
    raise InvalidRequestError(
        "inputs are no OpenAI request: give a mapping with 'messages', 'prompt' or 'input', a "
        "text, or a table with such a column"
    )


def _predictions(answer: Mapping[str, Any]) -> list[Any]:
    if "data" in answer:
        return [item["embedding"] for item in answer["data"]]
    return [
        choice["message"]["content"] if "message" in choice else choice["text"]
        for choice in answer["choices"]
    ]


def _chunks(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if not line.startswith(_DATA) or line == f"{_DATA}{_DONE}":
            continue
        chunk = json.loads(line.removeprefix(_DATA))
        if "error" in chunk:
            raise ServingError(chunk["error"]["message"])
        yield chunk


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the adapter answered HTTP {answer.status_code}"
