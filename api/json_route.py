"""Routes with a JSON body: what kind of body it is, and how its text is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from enginehouse.requests.content_type import content_type_problem
from enginehouse.requests.json_text import OFF_LOOP_BYTES, read_body

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JsonRoute(APIRoute):
    """A route; one that has a body reads it with `read_body`.

    A large body is parsed and validated in a thread: what FastAPI validates then is an instance
    of the model already. Every router of ours is made with this class. FastAPI's own reads NaN,
    lone surrogates and UTF-16, and says of a missing content type that the body is no object.
    """

    def get_route_handler(self) -> _Handler:
        """See FastAPI.

        Raises:
            HTTPException: 415 if the body is said to be something else than JSON.
            InvalidRequestError: if it is not JSON, see `read_body`.
            RequestValidationError: if a large one does not fit its model.
        """
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def read(request: Request) -> Response:
            body = JsonRequest(request.scope, request.receive, request._send)  # noqa: SLF001
            if await body.read() > OFF_LOOP_BYTES and not self._embed_body_fields:
                body.replace(await asyncio.to_thread(self._validated, await body.json()))
            return await handler(body)

        return read

    def _validated(self, value: Any) -> Any:
        """The body as its model."""
        assert self.body_field is not None  # noqa: S101 - else nothing is read
        model, errors = self.body_field.validate(value, loc=("body",))
        if errors:
            raise RequestValidationError(errors, body=value)
        return model


class JsonRequest(Request):
    """A request whose body is JSON."""

    async def read(self) -> int:
        """Read the body and return its bytes; an empty one is the route's to judge."""
        try:
            raw = await self.body()
        except ClientDisconnect:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "the body was cut off") from None
        if raw:
            check_content_type(self, "application/json")
            large = len(raw) > OFF_LOOP_BYTES
            self._json = await asyncio.to_thread(read_body, raw) if large else read_body(raw)
        return len(raw)

    def replace(self, value: Any) -> None:
        """Have `json` give this value from now on."""
        self._json = value


def check_content_type(request: Request, wanted: str) -> None:
    """Do nothing if a body is said to be of this type, and nothing more is done to it.

    Args:
        wanted: ``type/subtype``; ``application/json`` stands for ``application/*+json`` too.

    Raises:
        HTTPException: 415 with a sentence.
    """
    problem = content_type_problem(request.headers, wanted)
    if problem is not None:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)
