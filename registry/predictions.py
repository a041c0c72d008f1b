"""Predictions for MLflow's deployments API, from the adapter's OpenAI API."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from enginehouse.client.http import events, open_http, raise_for_error, unreachable

from enginehouse.errors import InvalidRequestError

#: Field that identifies a request → its path.
_PATHS = {
    "messages": "/v1/chat/completions",
    "prompt": "/v1/completions",
    "input": "/v1/embeddings",
}


class PredictionClient:
    """Sends prediction requests to one adapter."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """`transport` replaces the network, for tests."""
        self._url = url
        self._transport = transport

    def predict(self, model: str, inputs: Any) -> dict[str, Any]:
        """Send one or several requests.

        Returns:
            ``predictions``: a text or an embedding each; ``responses``: the response bodies.

        Raises:
            InvalidRequestError: if `inputs` is not an OpenAI request.
            ServingError: if the adapter rejects a request or does not answer.
        """
        requests = [_request(model, item) for item in _items(inputs)]
        responses = []
        with self._client() as http:
            for path, body in requests:
                answer = _sent(http, path, body)
                responses.append(answer)
        found = [prediction for answer in responses for prediction in _predictions(answer)]
        return {"predictions": found, "responses": responses}

    def stream(self, model: str, inputs: Any) -> Iterator[dict[str, Any]]:
        """Stream the chunks of one response.

        Raises:
            InvalidRequestError: if `inputs` is not an OpenAI request, or more than one.
            ServingError: if the adapter rejects the request, fails while streaming or does not
                answer.
        """
        items = _items(inputs)
        if len(items) != 1:
            raise InvalidRequestError("streaming takes exactly one request")
        path, body = _request(model, items[0])
        with self._client() as http:
            try:
                with http.stream("POST", path, json={**body, "stream": True}) as answer:
                    if answer.is_error:
                        answer.read()
                    raise_for_error(answer)
                    yield from events(answer)
            except httpx.HTTPError as error:
                raise unreachable(http, error) from error

    def _client(self) -> httpx.Client:
        return open_http(self._url, transport=self._transport)


def _sent(http: httpx.Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    try:
        answer = http.post(path, json=body)
    except httpx.HTTPError as error:
        raise unreachable(http, error) from error
    raise_for_error(answer)
    return dict(answer.json())


def _items(inputs: Any) -> list[Any]:
    """The requests in `inputs`: one request, a list of requests, or the rows of a table."""
    if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):
        return _rows(inputs.to_dict(orient="records"))
    if isinstance(inputs, list) and not (inputs and _is_message(inputs[0])):
        return inputs
    return [inputs]


def _rows(records: list[dict[str, Any]]) -> list[Any]:
    """The requests of a table, with pandas' type changes undone.

    `mlflow deployments predict` reads the JSON of one conversation as one row for each message. An
    empty cell means that the field was omitted. It turns the integers of its column into floats,
    and pandas reads texts of digits as integers.
    """
    rows: list[Any] = [
        {name: _cell(name, value) for name, value in record.items() if not _is_empty(value)}
        for record in records
    ]
    if rows and all(_is_message(row.get("messages")) for row in rows):
        return [{**rows[0], "messages": [row["messages"] for row in rows]}]
    return rows


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if name in {"prompt", "input"} and isinstance(value, int) else value


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_message(item: Any) -> bool:
    return isinstance(item, Mapping) and "role" in item


def _request(model: str, item: Any) -> tuple[str, dict[str, Any]]:
    """Path and body for one item; a string is a user message, a list is a conversation."""
    if isinstance(item, str):
        item = {"messages": [{"role": "user", "content": item}]}
    elif isinstance(item, list):
        item = {"messages": item}
    if isinstance(item, Mapping):
        for field, path in _PATHS.items():
            if field in item:
                return path, {"model": model, **item}
    raise InvalidRequestError(
        "inputs are not an OpenAI request: give a mapping with 'messages', 'prompt' or 'input', a "
        "text, or a table with such a column"
    )


def _predictions(answer: Mapping[str, Any]) -> list[Any]:
    if "data" in answer:
        return [item["embedding"] for item in answer["data"]]
    return [
        choice["message"]["content"] if "message" in choice else choice["text"]
        for choice in answer["choices"]
    ]
