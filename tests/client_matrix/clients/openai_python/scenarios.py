"""The openai SDK of Python."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import openai
import probe
from probe import check, refused, same, scenario
from pydantic import BaseModel

client = openai.OpenAI(
    base_url=probe.BASE_URL, api_key=probe.KEY, max_retries=0, timeout=probe.TIMEOUT_S
)
QUESTION: Any = [{"role": "user", "content": probe.QUESTION}]


class Mood(BaseModel):
    feeling: Literal["glad", "sad"]
    strong: bool


def asked(**changed: Any) -> Any:
    given = {"model": probe.MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 24}
    return client.chat.completions.create(**given | changed)


def text_of(chunks: Iterable[Any]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


@scenario("chat", column="chat")
def chat() -> None:
    answer = asked()
    check(answer.choices[0].message.content, "no text")
    same(answer.choices[0].finish_reason in {"stop", "length"}, True, "finish_reason")


@scenario("stream", column="streaming")
def stream() -> None:
    chunks = list(asked(stream=True, stream_options={"include_usage": True}))
    same(text_of(chunks), asked().choices[0].message.content, "text of the stream")
    check(chunks[-1].usage.completion_tokens, "no usage in the last chunk")


@scenario("stream helper `chat.completions.stream`", column="streaming")
def helper() -> None:
    with client.chat.completions.stream(
        model=probe.MODEL, messages=QUESTION, temperature=0, max_tokens=24
    ) as events:
        kinds = {event.type for event in events}
        final = events.get_final_completion()
    check("content.delta" in kinds, f"events: {kinds}")
    check(final.choices[0].message.content, "no text")


@scenario("async client", column="chat")
async def asynchronous() -> None:
    async with openai.AsyncOpenAI(base_url=probe.BASE_URL, api_key=probe.KEY) as sdk:
        answer = await sdk.chat.completions.create(
            model=probe.MODEL, messages=QUESTION, max_completion_tokens=8
        )
    check(answer.choices[0].message.content, "no text")


@scenario("the answer's `model_dump()` appended, and asked again", column="turns")
def turns() -> None:
    message = asked().choices[0].message
    for sent in (message, message.model_dump(), message.to_dict()):
        again = asked(messages=[*QUESTION, sent, {"role": "user", "content": probe.AGAIN}])
        check(again.choices[0].message.content, "no text")


@scenario("`chat.completions.parse` with a pydantic model", column="structured")
def parsed() -> None:
    found = client.chat.completions.parse(
        model=probe.MODEL, messages=QUESTION, response_format=Mood, max_tokens=48
    )
    check(isinstance(found.choices[0].message.parsed, Mood), "not parsed")


@scenario("`response_format: json_object`", column="structured")
def json_object() -> None:
    answer = asked(response_format={"type": "json_object"}, max_tokens=200, top_p=0.9)
    choice = answer.choices[0]
    if choice.finish_reason == "stop":
        check(isinstance(json.loads(choice.message.content), dict), "not an object")


@scenario("a call that is required, its result, and the answer", column="tools")
def tools() -> None:
    first = asked(tools=[probe.WEATHER], tool_choice="required", max_tokens=64).choices[0]
    same(first.finish_reason, "tool_calls", "finish_reason")
    call = first.message.tool_calls[0]
    probe.is_city(json.loads(call.function.arguments))
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    messages = [*QUESTION, first.message.model_dump(), result]
    last = asked(messages=messages, tools=[probe.WEATHER], tool_choice="none")
    check(last.choices[0].message.content, "no text")


@scenario("streamed calls with their `index`, sent back", column="tools")
def streamed_tools() -> None:
    calls: dict[int, Any] = {}
    for chunk in asked(tools=[probe.WEATHER], tool_choice="required", max_tokens=64, stream=True):
        for delta in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            if delta.index in calls:
                calls[delta.index]["function"]["arguments"] += delta.function.arguments or ""
            else:
                calls[delta.index] = delta.model_dump()
    probe.is_city(json.loads(calls[0]["function"]["arguments"]))
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "21"} for call in calls.values()
    ]
    assistant = {"role": "assistant", "content": None, "tool_calls": list(calls.values())}
    again = asked(messages=[*QUESTION, assistant, *results])
    check(again.choices[0].message.content, "no text")


@scenario("embeddings, as floats and as the SDK's base64", column="embeddings")
def embeddings() -> None:
    texts = ["a house", "a whale"]
    floats = client.embeddings.create(model=probe.EMBEDDING, input=texts, encoding_format="float")
    packed = client.embeddings.create(model=probe.EMBEDDING, input=texts)
    for one, other in zip(floats.data, packed.data, strict=True):
        same(len(one.embedding), probe.DIMENSIONS, "dimensions")
        check(
            all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding, strict=True)),
            "base64 and floats differ",
        )


@scenario("an overflow is a BadRequestError with `context_length_exceeded`", column="errors")
def overflow() -> None:
    body = [{"role": "user", "content": probe.TOO_LONG}]
    error = refused(openai.BadRequestError, lambda: asked(messages=body), probe.OVERFLOW)
    same(getattr(error, "code", None), "context_length_exceeded", "code")
    same(getattr(error, "param", None), "messages", "param")


@scenario("an unknown model is a NotFoundError", column="errors")
def unknown() -> None:
    error = refused(openai.NotFoundError, lambda: asked(model="nobody"), "nobody")
    same(getattr(error, "code", None), "model_not_found", "code")


@scenario("usage adds up", column="usage")
def usage() -> None:
    found = asked().usage
    same(found.total_tokens, found.prompt_tokens + found.completion_tokens, "total_tokens")
    check(0 < found.completion_tokens <= 24, f"completion_tokens: {found.completion_tokens}")


@scenario("`max_tokens` is kept and told by `finish_reason: length`")
def cut() -> None:
    answer = asked(max_tokens=3)
    same(answer.choices[0].finish_reason, "length", "finish_reason")
    same(answer.usage.completion_tokens, 3, "completion_tokens")


@scenario("completions, whole and streamed, 16 tokens by default")
def completions() -> None:
    given: Any = {"model": probe.MODEL, "prompt": "Once upon a time", "temperature": 0}
    whole = client.completions.create(**given)
    same(whole.usage.completion_tokens, 16, "completion_tokens")
    parts = list(client.completions.create(**given, stream=True))
    same("".join(p.choices[0].text for p in parts if p.choices), whole.choices[0].text, "text")


@scenario("models: the list, and one by its name")
def models() -> None:
    listed = [model.id for model in client.models.list()]
    check(probe.MODEL in listed, f"models: {listed}")
    same(listed[0], probe.MODEL, "first of the list, a text model")
    same(client.models.retrieve(probe.MODEL).id, probe.MODEL, "id")


@scenario("log-probabilities of the chosen tokens")
def logprobs() -> None:
    choice = asked(logprobs=True, max_tokens=4).choices[0]
    told = "".join(item.token for item in choice.logprobs.content)
    check(choice.message.content.startswith(told[:4]), f"tokens: {told!r}")


@scenario("Responses: text, and `previous_response_id`", column="turns")
def responses() -> None:
    first = client.responses.create(
        model=probe.MODEL, input=probe.QUESTION, max_output_tokens=24, temperature=0
    )
    check(first.output_text, "no text")
    again = client.responses.create(
        model=probe.MODEL,
        input=probe.AGAIN,
        previous_response_id=first.id,
        max_output_tokens=24,
    )
    check(again.output_text, "no text")
    same(client.responses.retrieve(first.id).output_text, first.output_text, "stored text")


@scenario("Responses: output items appended to the input", column="turns")
def items() -> None:
    history: list[Any] = [{"role": "user", "content": probe.QUESTION}]
    first = client.responses.create(model=probe.MODEL, input=history, max_output_tokens=24)
    history += [item.model_dump() for item in first.output]
    history.append({"role": "user", "content": probe.AGAIN})
    again = client.responses.create(
        model=probe.MODEL, input=history, max_output_tokens=24, store=False
    )
    check(again.output_text, "no text")


@scenario("Responses: the stream's events", column="streaming")
def responses_stream() -> None:
    with client.responses.stream(
        model=probe.MODEL, input=probe.QUESTION, max_output_tokens=64, temperature=0
    ) as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    same(kinds[0], "response.created", "first event")
    check("response.output_text.delta" in kinds, f"events: {kinds}")
    check(final.output_text, "no text")


@scenario("Responses: `parse` with a pydantic model", column="structured")
def responses_parse() -> None:
    found = client.responses.parse(
        model=probe.MODEL, input=probe.QUESTION, text_format=Mood, max_output_tokens=48
    )
    check(isinstance(found.output_parsed, Mood), "not parsed")


@scenario("Responses: a required call and its result", column="tools")
def responses_tools() -> None:
    tool: Any = {"type": "function", "strict": True, **probe.WEATHER["function"]}
    history: list[Any] = [{"role": "user", "content": "What is the weather in Lisbon?"}]
    first = client.responses.create(
        model=probe.MODEL, input=history, tools=[tool], tool_choice="required"
    )
    call = next(item for item in first.output if item.type == "function_call")
    probe.is_city(json.loads(call.arguments))
    history += first.output
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "21"})
    last = client.responses.create(
        model=probe.MODEL, input=history, tools=[tool], tool_choice="none", max_output_tokens=24
    )
    check(last.output_text, "no text")


@scenario("Responses as agents send them: `include`, `truncation`, `reasoning.summary`, `store`")
def agents() -> None:
    answer = client.responses.create(
        model=probe.MODEL,
        input=probe.QUESTION,
        max_output_tokens=24,
        include=["reasoning.encrypted_content"],
        truncation="auto",
        reasoning={"summary": "auto"},
        store=False,
    )
    check(answer.output_text, "no text")


@scenario("Responses: tokens of an input counted")
def input_tokens() -> None:
    found = client.responses.input_tokens.count(model=probe.MODEL, input=probe.QUESTION)
    check(found.input_tokens > 0, f"input_tokens: {found.input_tokens}")


@scenario("files: uploaded, read, deleted")
def files() -> None:
    line = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": probe.MODEL, "messages": QUESTION, "max_tokens": 4},
    }
    content = json.dumps(line).encode()
    made = client.files.create(file=("batch.jsonl", content), purpose="batch")
    same(client.files.content(made.id).read(), content, "content")
    check(client.files.delete(made.id).deleted, "not deleted")


probe.run()
