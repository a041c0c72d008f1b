"""LlamaIndex and LiteLLM."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import litellm
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

pytestmark = pytest.mark.slow(reason="client libraries of others, which take seconds to import")

_QUESTION = "What is the capital of France?"
_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Lisbon"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def llama(base_url: str) -> OpenAILike:
    return OpenAILike(
        model="smollm2",
        api_base=base_url,
        api_key="unused",
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=2048,
        max_tokens=48,
        temperature=0.0,
        max_retries=0,
    )


@pytest.fixture
def lite(base_url: str) -> dict[str, Any]:
    return {
        "model": "openai/smollm2",
        "api_base": base_url,
        "api_key": "unused",
        "messages": [{"role": "user", "content": _QUESTION}],
        "temperature": 0,
        "max_tokens": 24,
        "num_retries": 0,
    }


class Where(BaseModel):
    """Arguments of `get_weather`."""

    city: Literal["Paris", "Lisbon"]


def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


def test_llamaindex_chats_and_streams(llama: OpenAILike) -> None:
    message = ChatMessage(role="user", content=_QUESTION)
    whole = llama.chat([message]).message.content
    assert whole is not None
    assert "Paris" in whole
    streamed = list(llama.stream_chat([message]))
    assert streamed[-1].message.content == whole
    assert "".join(part.delta or "" for part in streamed) == whole
    assert llama.complete(_QUESTION).text == whole


def test_llamaindex_calls_a_tool_that_is_required(llama: OpenAILike) -> None:
    response = llama.chat_with_tools(
        [FunctionTool.from_defaults(get_weather, fn_schema=Where)],
        user_msg="What is the weather in Lisbon?",
        tool_required=True,
    )
    (call,) = llama.get_tool_calls_from_response(response)
    assert call.tool_name == "get_weather"
    assert call.tool_kwargs["city"] in {"Paris", "Lisbon"}


def test_litellm_asks_streams_and_counts(lite: dict[str, Any]) -> None:
    whole: Any = litellm.completion(**lite)
    text = whole.choices[0].message.content
    assert "Paris" in text
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    parts: Any = litellm.completion(**lite, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == text

    async def asked() -> Any:
        return await litellm.acompletion(**lite)

    assert asyncio.run(asked()).choices[0].message.content == text


def test_litellm_calls_a_tool_that_is_named(lite: dict[str, Any]) -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    answer: Any = litellm.completion(**lite | {"max_tokens": 64}, tools=[_TOOL], tool_choice=named)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in {"Paris", "Lisbon"}


def test_litellm_embeds(base_url: str) -> None:
    found: Any = litellm.embedding(
        model="openai/minilm",
        api_base=base_url,
        api_key="unused",
        input=["a house", "a whale"],
        encoding_format="float",
    )
    assert [len(item["embedding"]) for item in found.data] == [384, 384]


def test_litellm_knows_an_error_by_its_kind(lite: dict[str, Any]) -> None:
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**lite | {"model": "openai/nobody"})
