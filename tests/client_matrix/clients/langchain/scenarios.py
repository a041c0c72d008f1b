"""LangChain: models, tools, structured outputs, an agent, retrieval."""

from __future__ import annotations

from typing import Any, Literal

import openai
import probe
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from probe import check, refused, same, scenario
from pydantic import BaseModel

_COMMON: Any = {
    "model": probe.MODEL,
    "base_url": probe.BASE_URL,
    "api_key": probe.KEY,
    "max_retries": 0,
    "temperature": 0,
    "timeout": probe.TIMEOUT_S,
}
chat_model = ChatOpenAI(**_COMMON, max_completion_tokens=48, stream_usage=True)
responses_model = ChatOpenAI(**_COMMON, max_completion_tokens=48, use_responses_api=True)


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


@tool
def get_weather(city: Literal["Paris", "Lisbon"]) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


for name, model in (("chat", chat_model), ("Responses", responses_model)):

    @scenario(f"{name}: `invoke`", column="chat")
    def invoke(model: ChatOpenAI = model) -> None:
        check(model.invoke(probe.QUESTION).text, "no text")

    @scenario(f"{name}: `stream` says the same", column="streaming")
    def stream(model: ChatOpenAI = model) -> None:
        whole = model.invoke(probe.QUESTION).text
        same("".join(c.text for c in model.stream(probe.QUESTION)), whole, "text of the stream")

    @scenario(f"{name}: `astream_events`", column="streaming")
    async def events(model: ChatOpenAI = model) -> None:
        kinds = {event["event"] async for event in model.astream_events(probe.QUESTION)}
        check("on_chat_model_stream" in kinds, f"events: {kinds}")

    @scenario(f"{name}: the answer's message appended, and asked again", column="turns")
    def turns(model: ChatOpenAI = model) -> None:
        history: list[Any] = [HumanMessage(probe.QUESTION)]
        history += [model.invoke(history), HumanMessage(probe.AGAIN)]
        check(model.invoke(history).text, "no text")

    @scenario(f"{name}: `with_structured_output`, `json_schema`", column="structured")
    def structured(model: ChatOpenAI = model) -> None:
        bound = model.with_structured_output(Mood, method="json_schema")
        check(isinstance(bound.invoke(probe.QUESTION), Mood), "not of its type")

    @scenario(f"{name}: `with_structured_output`, `function_calling`", column="structured")
    def called(model: ChatOpenAI = model) -> None:
        bound = model.with_structured_output(Mood, method="function_calling")
        check(isinstance(bound.invoke(probe.QUESTION), Mood), "not of its type")

    @scenario(f"{name}: a bound tool that is required, and its result", column="tools")
    def tools(model: ChatOpenAI = model) -> None:
        history: list[Any] = [HumanMessage("What is the weather in Lisbon?")]
        message = model.bind_tools([get_weather], tool_choice="required").invoke(history)
        call = message.tool_calls[0]
        probe.is_city(call["args"])
        history += [message, ToolMessage("21 degrees", tool_call_id=call["id"])]
        check(model.invoke(history).text, "no text")

    @scenario(f"{name}: `usage_metadata`", column="usage")
    def usage(model: ChatOpenAI = model) -> None:
        found = model.invoke(probe.QUESTION).usage_metadata
        check(found and found["output_tokens"] > 0, f"usage: {found}")

    @scenario(f"{name}: an overflow is its ContextOverflowError", column="errors")
    def overflow(model: ChatOpenAI = model) -> None:
        from langchain_core.exceptions import ContextOverflowError

        refused(ContextOverflowError, lambda: model.invoke(probe.TOO_LONG))


@scenario("an unknown model is a NotFoundError", column="errors")
def unknown() -> None:
    model = ChatOpenAI(**_COMMON | {"model": "nobody"})
    refused(openai.NotFoundError, lambda: model.invoke(probe.QUESTION), "nobody")


@scenario("an agent calls a tool and answers", column="tools")
def agent() -> None:
    @wrap_model_call
    def first_a_tool(request: Any, handler: Any) -> Any:
        """A small model left to itself seldom calls a tool; so it has to, once."""
        answered = any(isinstance(message, ToolMessage) for message in request.messages)
        return handler(request.override(tool_choice="none" if answered else "required"))

    made: Any = create_agent(chat_model, [get_weather], middleware=[first_a_tool])
    result = made.invoke({"messages": [HumanMessage("What is the weather in Lisbon?")]})
    kinds = [type(message) for message in result["messages"]]
    same(kinds, [HumanMessage, AIMessage, ToolMessage, AIMessage], "messages")


@scenario("an agent's `response_format`", column="structured")
def agent_format() -> None:
    made: Any = create_agent(chat_model, [], response_format=Mood)
    result = made.invoke({"messages": [HumanMessage(probe.QUESTION)]})
    check(isinstance(result["structured_response"], Mood), "not of its type")


@scenario("retrieval with `OpenAIEmbeddings`", column="embeddings")
def retrieval() -> None:
    embeddings = OpenAIEmbeddings(
        model=probe.EMBEDDING,
        base_url=probe.BASE_URL,
        api_key=probe.KEY,
        check_embedding_ctx_length=False,
    )
    texts = ["Refunds take five days.", "Bake the bread for forty minutes."]
    store = InMemoryVectorStore.from_texts(texts, embedding=embeddings)
    (found,) = store.similarity_search("When do I get my money back?", k=1)
    same(found.page_content, texts[0], "nearest text")


@scenario(
    "`OpenAIEmbeddings` with its own length check, which sends token ids",
    column="embeddings",
    limit="it cuts with another model's tokenizer: set `check_embedding_ctx_length=False`",
)
def token_ids() -> None:
    embeddings = OpenAIEmbeddings(
        model=probe.EMBEDDING, base_url=probe.BASE_URL, api_key=probe.KEY, max_retries=0
    )
    same(len(embeddings.embed_query("a house")), probe.DIMENSIONS, "dimensions")


probe.run()
