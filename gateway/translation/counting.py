"""How many tokens a conversation is, as the model would be told it."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

from enginehouse.api.call import Call
from enginehouse.api.pipeline import COUNT_NOTE
from enginehouse.api.state import ApiState
from enginehouse.api.streaming import until_disconnect
from starlette.requests import Request

#: What such a call is called in metrics, in the ledger and in the audit trail.
COUNTING = "count_tokens"


async def counted_tokens(call: Call, request: Request, state: ApiState) -> int:
    """Tokens of a call's prompt; it goes through the stages, and the engine is not asked.

    Raises:
        ServingError: if the call is refused.
    """
    call.ask = replace(call.ask, endpoint=COUNTING, run=state.counting, stream=False)
    request.state.response_headers = call.response_headers

    async def run() -> None:
        async with aclosing(state.pipeline(call)) as pieces:
            async for _ in pieces:
                pass

    await until_disconnect(request.receive, run())
    return int(call.notes[COUNT_NOTE])
