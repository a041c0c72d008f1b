"""Validates the lines of a batch before any of them is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from enginehouse.gateway.batches.config import BatchesConfig

from enginehouse.errors import InvalidJsonError, InvalidRequestError
from enginehouse.requests.json_text import read_body

#: Endpoints that a batch may use.
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
_MOST_ERRORS = 100
_ID = re.compile(r"[^\x00-\x1f\x7f]{1,512}")
_FIELDS = {"custom_id", "method", "url", "body"}


#: An error: the field, a code as in OpenAI's API, and a message.
Problem = tuple[str | None, str, str]


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One request; lines are numbered from 1.

    Attributes:
        body: body of the request, as JSON text.
    """

    line: int
    custom_id: str
    body: str


@dataclass(slots=True)
class LineChecker:
    """Validates lines one after the other.

    Attributes:
        errors: errors as in OpenAI's batch object, at most 100. If there are any, no line is run.
        model: the model of all lines, if it is the same.
    """

    endpoint: str
    config: BatchesConfig
    errors: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    _models: set[str] = field(default_factory=set)
    _seen: dict[str, int] = field(default_factory=dict)

    @property
    def model(self) -> str | None:
        """The model, if all lines use the same one."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    def lines(self, file: Iterable[bytes]) -> Iterable[BatchLine]:
        """The requests of a file up to the first errors; empty lines are skipped."""
        for number, raw in enumerate(file, start=1):
            if len(self.errors) >= _MOST_ERRORS:
                return
            if not raw.strip():
                continue
            self.count += 1
            if self.count > self.config.max_lines:
                message = f"more than {self.config.max_lines} requests: make several batches"
                self.refuse(number, (None, "too_many_requests", message))
                return
            found = self._checked(number, raw)
            if isinstance(found, BatchLine) and not self.errors:
                yield found
            elif not isinstance(found, BatchLine):
                self.refuse(number, found)
        if self.count == 0:
            self.refuse(None, (None, "empty_file", "the file has no requests"))

    def refuse(self, line: int | None, problem: Problem) -> None:
        """Record an error in a line or in the file."""
        param, code, message = problem
        self.errors.append({"code": code, "line": line, "message": message, "param": param})

    def _checked(self, number: int, raw: bytes) -> BatchLine | Problem:
        most = self.config.max_line_bytes
        if len(raw) > most:
            message = f"the line has {len(raw)} bytes, and at most {most} are taken"
            return None, "line_too_large", message
        try:
            given = read_body(raw)
        except InvalidJsonError as error:
            return None, "invalid_json_line", f"not valid JSON: {error}"
        except InvalidRequestError as error:
            return error.field, error.code, str(error)
        if not isinstance(given, dict):
            return None, "invalid_json_line", "the line is not a JSON object"
        problem = next(self._problems(given), None)
        if problem is not None:
            return problem
        self._seen[given["custom_id"]] = number
        self._models.add(given["body"]["model"])
        return BatchLine(number, given["custom_id"], orjson.dumps(given["body"]).decode())

    def _problems(self, given: dict[str, Any]) -> Iterator[Problem]:
        """Errors of a request; only the first one is reported."""
        for name in sorted(given.keys() - _FIELDS):
            yield name, "unknown_parameter", f"unknown field {name!r}: remove it"
        custom_id, body = given.get("custom_id"), given.get("body")
        if not isinstance(custom_id, str) or not _ID.fullmatch(custom_id):
            message = "custom_id must be 1 to 512 characters without control characters"
            yield "custom_id", "invalid_value", message
        elif custom_id in self._seen:
            message = f"custom_id {custom_id!r} stands in line {self._seen[custom_id]} already"
            yield "custom_id", "duplicate_custom_id", message
        if given.get("method") != "POST":
            yield "method", "invalid_method", "method must be 'POST'"
        if given.get("url") != self.endpoint:
            yield "url", "invalid_url", f"url must be the batch's endpoint, {self.endpoint!r}"
        if not isinstance(body, dict):
            yield "body", "invalid_value", "body must be a JSON object"
            return
        if not isinstance(body.get("model"), str) or not body["model"]:
            yield "body.model", "missing_required_parameter", "body.model must name a model"
        if body.get("stream"):
            message = "body.stream is true: a batch gives whole answers; leave it out"
            yield "body.stream", "invalid_value", message
