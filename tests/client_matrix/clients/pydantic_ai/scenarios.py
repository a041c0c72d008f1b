"""Pydantic AI: chat and Responses models, outputs, tools, history."""

from __future__ import annotations

from typing import Any, Literal

import probe
from probe import check, refused_later, same, scenario
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=probe.BASE_URL, api_key=probe.KEY)
SETTINGS: Any = {"max_tokens": 64, "temperature": 0, "timeout": probe.TIMEOUT_S}


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


MODELS: dict[str, Any] = {
    "chat": OpenAIChatModel(probe.MODEL, provider=provider),
    "Responses": OpenAIResponsesModel(probe.MODEL, provider=provider),
}

for name, model in MODELS.items():

    @scenario(f"{name}: `run`", column="chat")
    async def run_(model: Any = model) -> None:
        result = await Agent(model, model_settings=SETTINGS).run(probe.QUESTION)
        check(result.output, "no text")

    @scenario(f"{name}: `run_stream`", column="streaming")
    async def stream(model: Any = model) -> None:
        agent = Agent(model, model_settings=SETTINGS)
        async with agent.run_stream(probe.QUESTION) as result:
            parts = [part async for part in result.stream_text(delta=True)]
        same("".join(parts), (await agent.run(probe.QUESTION)).output, "text of the stream")

    @scenario(f"{name}: `message_history`", column="turns")
    async def turns(model: Any = model) -> None:
        agent = Agent(model, model_settings=SETTINGS)
        first = await agent.run(probe.QUESTION)
        again = await agent.run(probe.AGAIN, message_history=first.all_messages())
        check(again.output, "no text")

    @scenario(f"{name}: `NativeOutput`", column="structured")
    async def native(model: Any = model) -> None:
        agent = Agent(model, output_type=NativeOutput(Mood), model_settings=SETTINGS)
        check(isinstance((await agent.run(probe.QUESTION)).output, Mood), "not of its type")

    @scenario(f"{name}: `ToolOutput`, which requires a call", column="structured")
    async def tool_output(model: Any = model) -> None:
        agent = Agent(model, output_type=ToolOutput(Mood), model_settings=SETTINGS)
        check(isinstance((await agent.run(probe.QUESTION)).output, Mood), "not of its type")

    @scenario(f"{name}: a tool beside an output type, until the output comes", column="tools")
    async def tools(model: Any = model) -> None:
        agent = Agent(model, output_type=ToolOutput(Mood), model_settings=SETTINGS)

        @agent.tool_plain
        def get_weather(city: Literal["Paris", "Lisbon"]) -> str:
            """Weather of a city."""
            return f"21 degrees in {city}"

        from pydantic_ai.exceptions import UsageLimitExceeded
        from pydantic_ai.usage import UsageLimits

        try:
            result = await agent.run(probe.QUESTION, usage_limits=UsageLimits(request_limit=4))
        except UsageLimitExceeded:
            return  # a small model may call the tool for ever; each request was answered
        check(isinstance(result.output, Mood), "not of its type")

    @scenario(f"{name}: usage", column="usage")
    async def usage(model: Any = model) -> None:
        result = await Agent(model, model_settings=SETTINGS).run(probe.QUESTION)
        told = result.usage() if callable(result.usage) else result.usage
        check(told.output_tokens > 0, f"usage: {told}")

    @scenario(f"{name}: an overflow is a ModelHTTPError of status 400", column="errors")
    async def overflow(model: Any = model) -> None:
        agent = Agent(model, model_settings=SETTINGS)
        error: Any = await refused_later(
            ModelHTTPError, lambda: agent.run(probe.TOO_LONG), probe.OVERFLOW
        )
        same(error.status_code, 400, "status")


@scenario("an unknown model is a ModelHTTPError of status 404", column="errors")
async def unknown() -> None:
    agent = Agent(OpenAIChatModel("nobody", provider=provider))
    error: Any = await refused_later(ModelHTTPError, lambda: agent.run(probe.QUESTION), "nobody")
    same(error.status_code, 404, "status")


@scenario("`Embedder`", column="embeddings")
async def embeddings() -> None:
    from pydantic_ai.embeddings import Embedder
    from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel

    embedder = Embedder(OpenAIEmbeddingModel(probe.EMBEDDING, provider=provider))
    found = await embedder.embed_query("a house")
    same(len(found.embeddings[0]), probe.DIMENSIONS, "dimensions")


probe.run()
