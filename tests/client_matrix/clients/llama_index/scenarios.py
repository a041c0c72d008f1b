"""LlamaIndex: OpenAILike and its embeddings."""

from __future__ import annotations

from typing import Literal

import openai
import probe
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from probe import check, refused, same, scenario
from pydantic import BaseModel


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


class Where(BaseModel):
    """Arguments of `get_weather`."""

    city: Literal["Paris", "Lisbon"]


def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


def model_of(name: str = probe.MODEL) -> OpenAILike:
    return OpenAILike(
        model=name,
        api_base=probe.BASE_URL,
        api_key=probe.KEY,
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=True,
        context_window=2048,
        max_tokens=48,
        temperature=0.0,
        timeout=probe.TIMEOUT_S,
        max_retries=0,
    )


llm = model_of()
embedding = OpenAILikeEmbedding(
    model_name=probe.EMBEDDING, api_base=probe.BASE_URL, api_key=probe.KEY, max_retries=0
)
ASKED = [ChatMessage(role="user", content=probe.QUESTION)]
TOOL = FunctionTool.from_defaults(get_weather, fn_schema=Where)


@scenario("`chat` and `complete`", column="chat")
def chat() -> None:
    same(llm.complete(probe.QUESTION).text, llm.chat(ASKED).message.content, "text")


@scenario("`stream_chat`", column="streaming")
def stream() -> None:
    parts = list(llm.stream_chat(ASKED))
    text = "".join(part.delta or "" for part in parts)
    same(text, llm.chat(ASKED).message.content, "text of the stream")


@scenario("`astream_chat`", column="streaming")
async def astream() -> None:
    parts = [part.delta or "" async for part in await llm.astream_chat(ASKED)]
    check("".join(parts), "no text")


@scenario("the answer's message appended, and asked again", column="turns")
def turns() -> None:
    message = llm.chat(ASKED).message
    history = [*ASKED, message, ChatMessage(role="user", content=probe.AGAIN)]
    check(llm.chat(history).message.content, "no text")


@scenario("`as_structured_llm`", column="structured")
def structured() -> None:
    found = llm.as_structured_llm(Mood).complete(probe.QUESTION).raw
    check(isinstance(found, Mood), f"not of its type: {found!r}")


@scenario("`FunctionCallingProgram`", column="structured")
def program() -> None:
    made = FunctionCallingProgram.from_defaults(
        output_cls=Mood, llm=llm, prompt_template_str="{q}", tool_required=True
    )
    check(isinstance(made(q=probe.QUESTION), Mood), "not of its type")


@scenario("a tool that is required, its result, and the answer", column="tools")
def tools() -> None:
    response = llm.chat_with_tools([TOOL], user_msg="Weather in Lisbon?", tool_required=True)
    (call,) = llm.get_tool_calls_from_response(response)
    probe.is_city(call.tool_kwargs)
    result = ChatMessage(
        role="tool", content="21 degrees", additional_kwargs={"tool_call_id": call.tool_id}
    )
    again = [ChatMessage(role="user", content="Weather in Lisbon?"), response.message, result]
    check(llm.chat(again).message.content, "no text")


@scenario("`FunctionAgent` runs to its end", column="tools")
async def agent() -> None:
    made = FunctionAgent(tools=[TOOL], llm=llm, streaming=True)
    answer = await made.run(probe.QUESTION)
    check(answer.response.content is not None, "no answer")


@scenario("embeddings, one and many", column="embeddings")
def embeddings() -> None:
    same(len(embedding.get_text_embedding("a house")), probe.DIMENSIONS, "dimensions")
    same(len(embedding.get_text_embedding_batch(["a", "b"])), 2, "embeddings")


@scenario("`VectorStoreIndex` answers from a document", column="embeddings")
def index() -> None:
    documents = [Document(text="Refunds take five days."), Document(text="Bake the bread.")]
    made = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    answer = made.as_query_engine(llm=llm, similarity_top_k=1).query("When are refunds paid?")
    same(answer.source_nodes[0].node.get_content(), documents[0].text, "nearest text")


@scenario("an overflow says so", column="errors")
def overflow() -> None:
    long = [ChatMessage(role="user", content=probe.TOO_LONG)]
    refused(openai.BadRequestError, lambda: llm.chat(long), probe.OVERFLOW)


@scenario("an unknown model is a NotFoundError", column="errors")
def unknown() -> None:
    refused(openai.NotFoundError, lambda: model_of("nobody").chat(ASKED), "nobody")


@scenario("usage is in the raw answer", column="usage")
def usage() -> None:
    raw = llm.chat(ASKED).raw
    found = raw["usage"] if isinstance(raw, dict) else raw.usage
    check(found.total_tokens > 0, f"usage: {found}")


probe.run()
