"""OpenAI's errors in Anthropic's form, wherever they come from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from enginehouse.gateway.messages.errors import MessagesErrors, translated
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from enginehouse import errors
from enginehouse.http_errors import error_body, status_of


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.InvalidRequestError("x"), 400, "invalid_request_error"),
        (errors.ContentBlockedError("x"), 400, "invalid_request_error"),
        (errors.UnauthenticatedError("x"), 401, "authentication_error"),
        (errors.ForbiddenError("x"), 403, "permission_error"),
        (errors.ModelNotFoundError("x"), 404, "not_found_error"),
        (errors.RateLimitError("x"), 429, "rate_limit_error"),
        (errors.BudgetError("x"), 429, "rate_limit_error"),
        (errors.QueueFullError("x"), 529, "overloaded_error"),
        (errors.EngineUnavailableError("x"), 529, "overloaded_error"),
        (errors.StoreError("x"), 529, "overloaded_error"),
        (errors.DeadlineError("x"), 504, "timeout_error"),
        (errors.EnginehouseError("x"), 500, "api_error"),
    ],
)
def test_every_error_has_its_status_and_type(
    error: errors.EnginehouseError, status: int, kind: str
) -> None:
    found, body = translated(int(status_of(error)[0]), error_body(error), "req_1")
    assert found == status
    assert body == {
        "type": "error",
        "error": {"type": kind, "message": "x" if error.public is None else error.public},
        "request_id": "req_1",
    }


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"message": "wrong", "param": "messages[0].content[1]"}, "messages.0.content.1: wrong"),
        ({"message": "top_k: wrong", "param": "top_k"}, "top_k: wrong"),
        ({"message": "top_k is 7", "param": "top_k"}, "top_k is 7"),
        ({"message": "?", "param": "a[0]", "code": "missing_required_parameter"},
         "a.0: Field required"),
        ({"message": "?", "param": "a", "code": "unknown_parameter"},
         "a: Extra inputs are not permitted"),
        ({"message": "Invalid 'a[0]': wrong", "param": "a[0]"}, "a.0: wrong"),
        ({"message": "Invalid type for 'a[0]': no", "param": "a[0]"},
         "a.0: Invalid type for 'a.0': no"),
        ({"message": "wrong", "param": None}, "wrong"),
    ],
)  # fmt: skip
def test_the_sentence_names_the_field(error: dict[str, Any], message: str) -> None:
    assert translated(400, {"error": error}, None)[1]["error"]["message"] == message


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"].endswith("/broken"):
        raise RuntimeError("a secret")
    if scope["path"].endswith("/text"):
        await PlainTextResponse("bad gateway", status_code=502)(scope, receive, send)
        return
    body = {"error": {"message": "x", "param": None, "code": None}}
    headers = {"Retry-After": "7"}
    await JSONResponse(body, status_code=503, headers=headers)(scope, receive, send)


def test_only_answers_below_its_root_are_translated() -> None:
    http = TestClient(MessagesErrors(_application), raise_server_exceptions=False)
    found = http.post("/v1/messages")
    assert (found.status_code, found.headers["retry-after"]) == (529, "7")
    assert int(found.headers["content-length"]) == len(found.content)
    assert http.post("/v1/messages/text").json()["error"]["message"] == "bad gateway"
    for other in ("/v1/messages_of_others", "/v1/responses"):
        assert "error" in http.post(other).json()
        assert http.post(other).status_code == 503


def test_an_exception_that_nobody_foresaw_tells_nothing() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "path": "/v1/messages/broken", "state": {"request_id": "r"}}
    with pytest.raises(RuntimeError):
        asyncio.run(MessagesErrors(_application)(scope, receive, send))
    assert sent[0]["status"] == 500
    assert b"api_error" in sent[1]["body"]
    assert b"secret" not in sent[1]["body"]
