"""LangChain: chat, tools, an agent, and retrieval with our embeddings in an embedded store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

pytestmark = pytest.mark.slow(reason="client libraries of others, which take seconds to import")

_KEY = SecretStr("unused")
_DOCUMENTS = [
    "To change your password, open Settings and choose Security.",
    "Refunds are paid to the card that was charged, within five working days.",
    "Bake the bread at 230 degrees for forty minutes.",
]


@tool
def get_weather(city: Literal["Paris", "Lisbon"]) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


@pytest.fixture
def chat(base_url: str) -> ChatOpenAI:
    return ChatOpenAI(
        model="smollm2",
        base_url=base_url,
        api_key=_KEY,
        temperature=0,
        max_retries=0,
        max_completion_tokens=48,
        stream_usage=True,
    )


@pytest.fixture
def embeddings(base_url: str) -> OpenAIEmbeddings:
    # Its length check would cut texts with another model's tokenizer and send ids.
    return OpenAIEmbeddings(
        model="minilm", base_url=base_url, api_key=_KEY, check_embedding_ctx_length=False
    )


def test_an_answer_and_its_stream_say_the_same(chat: ChatOpenAI) -> None:
    whole = chat.invoke("What is the capital of France?")
    chunks = list(chat.stream("What is the capital of France?"))
    assert "".join(str(chunk.content) for chunk in chunks) == whole.content
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    assert getattr(total, "usage_metadata")["input_tokens"] == whole.usage_metadata["input_tokens"]  # noqa: B009


def test_a_bound_tool_is_called_with_its_arguments(chat: ChatOpenAI) -> None:
    bound = chat.bind_tools([get_weather], tool_choice="get_weather")
    message = bound.invoke("What is the weather in Lisbon?")
    assert isinstance(message, AIMessage)
    (call,) = message.tool_calls
    assert call["name"] == "get_weather"
    assert call["args"]["city"] in {"Paris", "Lisbon"}
    assert message.invalid_tool_calls == []


def test_structured_output_is_of_its_type(chat: ChatOpenAI) -> None:
    found = chat.with_structured_output(Mood).invoke("I won the lottery! How do I feel?")
    assert isinstance(found, Mood)


def test_an_agent_calls_a_tool_and_answers(chat: ChatOpenAI) -> None:
    choices: list[str] = []

    @wrap_model_call
    def first_a_tool(
        request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """A small model left to itself seldom calls a tool; so it has to, once."""
        answered = any(isinstance(message, ToolMessage) for message in request.messages)
        choices.append("none" if answered else "required")
        return handler(request.override(tool_choice=choices[-1]))

    agent: Any = create_agent(chat, [get_weather], middleware=[first_a_tool])
    result = agent.invoke({"messages": [HumanMessage("What is the weather in Lisbon?")]})
    kinds = [type(message) for message in result["messages"]]
    assert kinds == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert choices == ["required", "none"]
    assert result["messages"][2].content.startswith("21 degrees in ")
    assert result["messages"][3].content


def test_retrieval_finds_the_document_that_answers(
    chat: ChatOpenAI, embeddings: OpenAIEmbeddings
) -> None:
    store = InMemoryVectorStore.from_texts(_DOCUMENTS, embedding=embeddings)
    (found,) = store.similarity_search("When do I get my money back?", k=1)
    assert found.page_content == _DOCUMENTS[1]
    prompt = f"Answer from this text only.\n\n{found.page_content}\n\nWhen are refunds paid?"
    assert chat.invoke(prompt).content
