"""LiteLLM's SDK, with the provider `openai/`."""

from __future__ import annotations

import json
from typing import Any, Literal

import litellm
import probe
from probe import check, refused, same, scenario
from pydantic import BaseModel

litellm.suppress_debug_info = True
REACHED: Any = {
    "api_base": probe.BASE_URL,
    "api_key": probe.KEY,
    "num_retries": 0,
    "timeout": probe.TIMEOUT_S,
}
QUESTION: Any = [{"role": "user", "content": probe.QUESTION}]


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


def asked(**changed: Any) -> Any:
    given = {"model": f"openai/{probe.MODEL}", "messages": QUESTION, "temperature": 0}
    return litellm.completion(**REACHED | given | {"max_tokens": 24} | changed)


@scenario("`completion`", column="chat")
def chat() -> None:
    check(asked().choices[0].message.content, "no text")


@scenario("provider `hosted_vllm/`", column="chat")
def vllm() -> None:
    check(asked(model=f"hosted_vllm/{probe.MODEL}").choices[0].message.content, "no text")


@scenario("`completion(stream=True)`, and its usage", column="streaming")
def stream() -> None:
    chunks = list(asked(stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    same(text, asked().choices[0].message.content, "text of the stream")
    built: Any = litellm.stream_chunk_builder(chunks)
    check(built.usage.completion_tokens > 0, "no usage")


@scenario("`acompletion`", column="chat")
async def asynchronous() -> None:
    given: Any = REACHED | {"model": f"openai/{probe.MODEL}", "messages": QUESTION}
    answer: Any = await litellm.acompletion(**given, max_tokens=8)
    check(answer.choices[0].message.content, "no text")


@scenario("the answer's `model_dump()` appended, and asked again", column="turns")
def turns() -> None:
    message = asked().choices[0].message
    for sent in (message, message.model_dump()):
        again = asked(messages=[*QUESTION, sent, {"role": "user", "content": probe.AGAIN}])
        check(again.choices[0].message.content, "no text")


@scenario("`response_format` of a pydantic model", column="structured")
def structured() -> None:
    text = asked(response_format=Mood, max_tokens=48).choices[0].message.content
    probe.is_mood(json.loads(text))


@scenario("a call that is required, its result, and the answer", column="tools")
def tools() -> None:
    first = asked(tools=[probe.WEATHER], tool_choice="required", max_tokens=64).choices[0]
    call = first.message.tool_calls[0]
    probe.is_city(json.loads(call.function.arguments))
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    again = asked(messages=[*QUESTION, first.message.model_dump(), result], tools=[probe.WEATHER])
    check(again.choices[0].message, "no message")


@scenario("`embedding`", column="embeddings")
def embeddings() -> None:
    found: Any = litellm.embedding(
        model=f"openai/{probe.EMBEDDING}", input=["a house", "a whale"], **REACHED
    )
    same([len(item["embedding"]) for item in found.data], [probe.DIMENSIONS] * 2, "dimensions")


@scenario("an overflow is its ContextWindowExceededError", column="errors")
def overflow() -> None:
    messages = [{"role": "user", "content": probe.TOO_LONG}]
    refused(litellm.ContextWindowExceededError, lambda: asked(messages=messages))


@scenario("`context_window_fallbacks` take over after an overflow", column="errors")
def fallback() -> None:
    router = litellm.Router(
        model_list=[
            {
                "model_name": name,
                "litellm_params": {"model": f"openai/{model}", "mock_response": mock, **REACHED},
            }
            for name, model, mock in (
                ("short", probe.MODEL, None),
                ("long", "elsewhere", "the long one answered"),
            )
        ],
        context_window_fallbacks=[{"short": ["long"]}],
    )
    long: Any = [{"role": "user", "content": probe.TOO_LONG}]
    answer: Any = router.completion("short", messages=long)
    same(answer.choices[0].message.content, "the long one answered", "answer")


@scenario("an unknown model is a NotFoundError", column="errors")
def unknown() -> None:
    refused(litellm.NotFoundError, lambda: asked(model="openai/nobody"), "nobody")


@scenario("usage adds up", column="usage")
def usage() -> None:
    found = asked().usage
    same(found.total_tokens, found.prompt_tokens + found.completion_tokens, "total_tokens")


@scenario("`text_completion`")
def completions() -> None:
    found: Any = litellm.text_completion(
        model=f"text-completion-openai/{probe.MODEL}", prompt="Once", max_tokens=8, **REACHED
    )
    check(found.choices[0].text, "no text")


@scenario("`responses`", column="turns")
def responses() -> None:
    given: Any = REACHED | {"model": f"openai/{probe.MODEL}", "max_output_tokens": 24}
    first: Any = litellm.responses(input=probe.QUESTION, **given)
    check(first.output, "no output")
    again: Any = litellm.responses(input=probe.AGAIN, previous_response_id=first.id, **given)
    check(again.output, "no output")


@scenario("`anthropic.messages` of the SDK")
async def messages() -> None:
    found: Any = await litellm.anthropic.messages.acreate(
        model=f"openai/{probe.MODEL}", messages=QUESTION, max_tokens=24, **REACHED
    )
    check(found["content"][0]["text"], "no text")


probe.run()
