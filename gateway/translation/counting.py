"""Counts the tokens of a conversation as the model would see it."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

from enginehouse.api.call import Call
from enginehouse.api.pipeline import COUNT_NOTE
from enginehouse.api.state import ApiState
from enginehouse.api.streaming import until_disconnect
from starlette.requests import Request

#: Name of such calls in metrics, the ledger and the audit trail.
COUNTING = "count_tokens"


async def counted_tokens(call: Call, request: Request, state: ApiState) -> int:
    """Number of tokens of a call's prompt. The call passes the stages, and the engine is not asked.

    Raises:
        ServingError: if the call is rejected.
    """
    call.ask = replace(call.ask, endpoint=COUNTING, run=state.counting, stream=False)
    request.state.response_headers = call.response_headers

    async def run() -> None:
        async with aclosing(state.pipeline(call)) as pieces:
            async for _ in pieces:
                pass

    await until_disconnect(request.receive, run())
    return int(call.notes[COUNT_NOTE])
