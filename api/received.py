"""What a request's headers say of it: who calls, how long they wait, under which id."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TypeVar

from enginehouse.api.call import Call
from enginehouse.api.caller import Caller
from starlette.requests import Request

from enginehouse.errors import InvalidRequestError

REQUEST_ID_HEADER = "x-request-id"
#: The first that is there counts; the second is sent by OpenAI's SDKs.
_TIMEOUT_HEADERS = ("x-request-timeout", "x-stainless-read-timeout")


def caller_of(request: Request) -> Caller:
    """Who calls; their tenant owns what they store."""
    caller: Caller = getattr(request.state, "caller", Caller())
    return caller


_Call = TypeVar("_Call", bound=Call)


def received(call: _Call, request: Request) -> _Call:
    """The call, with what its request's headers and its connection say of it.

    Raises:
        InvalidRequestError: if its timeout is no number of seconds above 0.
    """
    call.caller = caller_of(request)
    call.headers = request.headers
    call.request_id = getattr(request.state, "request_id", "") or call.request_id
    call.deadline = _deadline(request.headers)
    # A batch's lines come from this process and say how urgent they are.
    call.priority = getattr(request.state, "priority", 0)
    call.response_headers[REQUEST_ID_HEADER] = call.request_id
    return call


def _deadline(headers: Mapping[str, str]) -> float | None:
    for name in _TIMEOUT_HEADERS:
        raw = headers.get(name)
        if raw is None:
            continue
        try:
            timeout_s = float(raw)
        except ValueError:
            timeout_s = math.nan
        if timeout_s > 0 and math.isfinite(timeout_s):
            return time.monotonic() + timeout_s
        if name == _TIMEOUT_HEADERS[0]:
            raise InvalidRequestError(
                f"{name} is {raw!r}: give seconds, a number above 0", field=name
            )
    return None
