"""An answer leaves with its last piece; the stages close their books behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.api.tracing.request_ids import RequestIds
from enginehouse.gateway.samples.ring import SampleRing
from starlette.types import Message, Receive, Scope, Send

from enginehouse.traffic import RequestSample
from tests.api.speaking import speaking


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", ["whole", "stream"])
def test_an_answer_is_out_before_the_books_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, count: int
) -> None:
    happened: list[str] = []
    stream = kind == "stream"
    call, add = RequestIds.__call__, SampleRing.add

    async def watched(self: RequestIds, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            if ended and scope["path"].startswith("/v1/chat"):
                happened.append("answer")
            await send(message)

        await call(self, scope, receive, noted)

    def added(self: SampleRing, sample: RequestSample) -> None:
        happened.append(f"books {sample.code} {sample.completion_tokens > 0}")
        add(self, sample)

    monkeypatch.setattr(RequestIds, "__call__", watched)
    monkeypatch.setattr(SampleRing, "add", added)
    with speaking(tmp_path) as adapter:
        options = {"stream_options": {"include_usage": True}} if stream else {}
        answer = adapter.chat(*["Well."] * count, n=count, stream=stream, **options)
    usage = answer[-1]["usage"] if stream else answer["usage"]
    assert usage["completion_tokens"] > 0
    assert happened == ["answer", "books 200 True"]
