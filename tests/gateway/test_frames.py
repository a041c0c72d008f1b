"""How many frames of ours a chunk crosses between the gRPC read and the socket write."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from enginehouse.api.app import create_app
from enginehouse.api.revision import Revision
from enginehouse.client import Deadlines, Target
from enginehouse.client.aio import AsyncTritonClient
from tritonclient.grpc import service_pb2 as pb

from enginehouse.generation import Chunk, GenerationRequest
from enginehouse.settings import Settings
from enginehouse.text import ChatTemplate
from tests.api.speaking import IM_END, Speaker, manifest_at
from tests.client.fakes import FakeFleet, generator
from tests.default_model import default_tokenizer

_MOST = 10
_ROOT = Path(__file__).parents[2]
_OURS = tuple(f"{_ROOT / name}/" for name in ("enginehouse", "api", "gateway", "client"))
_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
_NOTHING = ""
_EVERYTHING = """
audit: {enabled: true}
ledger: {enabled: true}
cache: {enabled: true, always: true}
limits: {default: {tokens_per_minute: 1000000, concurrent: 64}, fair_share: {slots: 4}}
content: {output: [{type: patterns, words: [xyzzy], name: magic}]}
fallback: {chains: {smollm2: {targets: [{model: "smollm2@1"}]}}}
"""


def our_frames() -> dict[int, str]:
    """The frames of this project that the running code was called from, by their identity."""
    found = {}
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(_OURS):
            found[id(frame)] = frame.f_code.co_qualname
        frame = frame.f_back  # type: ignore[assignment]
    return found


class Frames:
    """What was seen at each read and at each write."""

    def __init__(self) -> None:
        self.reading: dict[int, str] = {}
        self.crossed: list[dict[int, str]] = []

    def wrote(self) -> None:
        self.crossed.append(self.reading | our_frames())


class _Call:
    """The stream of one request: a token a read."""

    def __init__(self, frames: Frames, ids: list[int]) -> None:
        self._frames = frames
        self._ids = ids

    async def write(self, _: Any) -> None:
        """The request."""

    async def done_writing(self) -> None:
        """Nothing follows it."""

    async def read(self) -> Any:
        # What resumes after a wait has on its stack every frame that awaits it.
        await asyncio.sleep(0)
        self._frames.reading = our_frames()
        return _response(self._ids.pop(0), last=not self._ids)

    async def code(self) -> Any:
        await asyncio.Event().wait()

    def cancel(self) -> None:
        """The caller has gone."""


def _response(token_id: int, *, last: bool) -> Any:
    response = pb.ModelStreamInferResponse()
    output = response.infer_response.outputs.add(name="output_ids", datatype="INT32")
    output.shape.extend([1, 1, 1])
    response.infer_response.raw_output_contents.append(np.int32(token_id).tobytes())
    response.infer_response.parameters["triton_final_response"].bool_param = last
    return response


class GrpcSpeaker(Speaker):
    """A replica whose answers come through the real client of Triton."""

    triton: AsyncTritonClient

    def generate(  # type: ignore[override] # a frame of its own would count
        self, target: Target, request: GenerationRequest, *, deadlines: Deadlines | None = None
    ) -> AsyncGenerator[Chunk, None]:
        return self.triton.generate(target, request, deadlines=deadlines)


async def _frames_of(home: Path) -> list[dict[int, str]]:
    frames, tokenizer = Frames(), default_tokenizer()
    manifest = manifest_at(home / "bundle")

    def opened(name: str, version: int) -> Revision:
        return Revision(
            Target(name, version), manifest, tokenizer, ChatTemplate(_TEMPLATE, tokenizer)
        )

    fake = generator(1)
    replica = GrpcSpeaker(fake.loaded, pins=fake.pins)
    replica.triton = AsyncTritonClient("host:1")
    ids = [*tokenizer.encode("one two three four five six"), IM_END]
    replica.triton._rpc = type("Stub", (), {"ModelStreamInfer": lambda _: _Call(frames, ids)})()
    app = create_app(
        Settings(home=home, fleet="host:1"),
        connect=FakeFleet([replica]).connect,
        open_version=opened,
    )
    async with app.router.lifespan_context(app):
        await app.state.enginehouse.directory.champion("smollm2")
        await _ask(app, frames)
    return frames.crossed


async def _ask(app: Any, frames: Frames) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    body = json.dumps({"model": "smollm2", "messages": messages, "stream": True}).encode()
    given = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> MutableMapping[str, Any]:
        found = next(given, None)
        if found is not None:
            return found
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        elif b'"content":' in message["body"]:
            frames.wrote()

    scope = {
        "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"",
        "raw_path": b"/v1/chat/completions", "root_path": "", "scheme": "http",
        "http_version": "1.1", "headers": [(b"content-type", b"application/json")], "state": {},
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await app(scope, receive, send)


@pytest.mark.parametrize("configured", [_NOTHING, _EVERYTHING], ids=["default", "every stage"])
def test_a_chunk_crosses_few_frames(tmp_path: Path, configured: str) -> None:
    (tmp_path / "endpoint.yaml").write_text(configured)
    crossed = asyncio.run(_frames_of(tmp_path))
    assert len(crossed) > 3
    # The first chunk is there when the response begins; those behind it come one by one.
    for frames in crossed[2:]:
        assert len(frames) <= _MOST, sorted(frames.values())


def test_frames_of_another_depth_are_counted() -> None:
    frames = Frames()
    frames.reading = {1: "a", 2: "b"}
    frames.wrote()
    assert frames.crossed == [{1: "a", 2: "b"}]
