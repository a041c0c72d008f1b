# ruff: noqa: INP001 - uvicorn loads this file by its directory
"""The handwritten baseline: FastAPI in front of Triton, one server-sent event for each response."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from jinja2 import Environment
from pydantic import BaseModel

MODEL = "handwritten"
_TEMPLATE = Environment(autoescape=False).from_string(  # noqa: S701 - a prompt is not HTML
    Path(os.environ["CHAT_TEMPLATE"]).read_text(encoding="utf-8")
)


class RelayMessage(BaseModel):
    """One message of a chat."""

    role: str
    content: str


class RelayChatRequest(BaseModel):
    """The supported fields of OpenAI's request."""

    model: str
    messages: list[RelayMessage]
    max_tokens: int = 128
    ignore_eos: bool = False


app = FastAPI()
_clients: list[triton.InferenceServerClient] = []


def _client() -> triton.InferenceServerClient:
    if not _clients:
        _clients.append(triton.InferenceServerClient(os.environ["TRITON_GRPC"]))
    return _clients[0]


@app.get("/health")
async def health() -> dict[str, bool]:
    """Whether Triton has the model."""
    return {"ready": await _client().is_model_ready(MODEL)}


@app.post("/v1/chat/completions")
async def chat(request: RelayChatRequest) -> StreamingResponse:
    """Stream an answer."""
    messages = [message.model_dump() for message in request.messages]
    prompt = _TEMPLATE.render(messages=messages, add_generation_prompt=True)
    return StreamingResponse(_events(prompt, request), media_type="text/event-stream")


async def _events(prompt: str, request: RelayChatRequest) -> AsyncIterator[str]:
    answer = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": request.model,
    }
    tokens = 0
    async for result, error in _client().stream_infer(_requests(prompt, request)):
        if error is not None:
            yield _event({"error": {"message": str(error)}})
            return
        if result.get_response().parameters["triton_final_response"].bool_param:
            break
        tokens = int(result.as_numpy("tokens")[0])
        text = result.as_numpy("text_output")[0].decode()
        yield _event({**answer, "choices": [_choice({"content": text}, None)]})
    usage = {"completion_tokens": tokens}
    yield _event({**answer, "choices": [_choice({}, "length")], "usage": usage})
    yield "data: [DONE]\n\n"


async def _requests(prompt: str, request: RelayChatRequest) -> AsyncIterator[dict[str, Any]]:
    yield {
        "model_name": MODEL,
        "inputs": [
            _input("text_input", "BYTES", np.array([prompt.encode()], dtype=np.object_)),
            _input("max_tokens", "INT32", np.array([request.max_tokens], dtype=np.int32)),
            _input("ignore_eos", "BOOL", np.array([request.ignore_eos])),
        ],
        "enable_empty_final_response": True,
    }


def _input(name: str, datatype: str, value: np.ndarray[Any, Any]) -> triton.InferInput:
    tensor = triton.InferInput(name, list(value.shape), datatype)
    tensor.set_data_from_numpy(value)
    return tensor


def _choice(delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
