"""Counts the tokens of a conversation as the model would see it."""

from __future__ import annotations

from dataclasses import replace

from enginehouse.api.begun import completed
from enginehouse.api.call import TextCall
from enginehouse.api.state import ApiState
from enginehouse.api.streaming import until_disconnect
from starlette.requests import Request

from enginehouse.errors import EngineUnavailableError

#: What such a call is called in metrics, in the ledger and in the audit trail.
COUNTING = "count_tokens"


async def counted_tokens(call: TextCall, request: Request, state: ApiState) -> int:
    """Tokens of a call's prompt; it goes through the stages, and the engine is not asked.

    Raises:
        ServingError: if the call is rejected.
    """
    call.ask = replace(call.ask, endpoint=COUNTING, stream=False)
    request.state.response_headers = call.response_headers
    await until_disconnect(request.receive, completed(state.counting, call))
    if call.counted_tokens is None:
        raise EngineUnavailableError("the prompt was not counted")
    return call.counted_tokens
