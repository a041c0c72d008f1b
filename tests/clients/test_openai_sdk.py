"""The openai SDK: sync, async, streams, tools, structured outputs, responses, files, batches."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.conftest import wait_until

pytestmark = pytest.mark.whole_machine

FRANCE: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the capital of France?"}
]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Paris", "Lisbon"]},
                "unit": {"type": "string", "enum": ["celsius"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
CLOCK: Any = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string", "enum": ["utc"]}},
            "required": ["zone"],
            "additionalProperties": False,
        },
    },
}
_NAMED: Any = {"type": "function", "function": {"name": "get_weather"}}
_LINES = 3


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


def _check_weather(arguments: str) -> None:
    given = json.loads(arguments)
    assert given.keys() == {"city", "unit"}
    assert given["city"] in {"Paris", "Lisbon"}
    assert given["unit"] == "celsius"


def test_a_whole_answer_and_its_stream_say_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model="smollm2", messages=FRANCE, temperature=0, max_tokens=32
    )
    stream = client.chat.completions.create(
        model="smollm2",
        messages=FRANCE,
        temperature=0,
        max_tokens=32,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert "Paris" in text
    assert whole.choices[0].message.refusal is None
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_stream_helper_gathers_what_was_streamed(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="smollm2", messages=FRANCE, temperature=0, max_tokens=16
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content


def test_the_async_client_runs_several_at_once(base_url: str) -> None:
    async def all_of_them() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=base_url, api_key="unused") as sdk:
            answers = await asyncio.gather(
                *(
                    sdk.chat.completions.create(
                        model="smollm2", messages=FRANCE, temperature=0, max_tokens=8
                    )
                    for _ in range(4)
                )
            )
            stream = await sdk.chat.completions.create(
                model="smollm2", messages=FRANCE, temperature=0, max_tokens=8, stream=True
            )
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return [*(answer.choices[0].message.content for answer in answers), "".join(parts)]

    texts = asyncio.run(all_of_them())
    assert texts[0]
    assert len(texts) == 5
    # Answers in one batch may differ in their last bits; a stream that is alone repeats itself.
    assert all(texts)


def test_a_tool_loop_with_a_named_tool(client: openai.OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "What is the weather in Lisbon?"}
    ]
    first = client.chat.completions.create(
        model="smollm2", messages=messages, tools=[WEATHER], tool_choice=_NAMED, temperature=0
    ).choices[0]
    assert first.finish_reason in {"tool_calls", "stop"}
    assert first.message.content is None
    assert first.message.tool_calls is not None
    (call,) = first.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    _check_weather(call.function.arguments)
    messages += [
        first.message.model_dump(exclude_none=True),  # type: ignore[list-item]
        {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 21}'},
    ]
    second = client.chat.completions.create(
        model="smollm2", messages=messages, tools=[WEATHER], tool_choice="none", max_tokens=32
    ).choices[0]
    assert second.message.content
    assert not second.message.tool_calls


def test_a_required_tool_is_one_of_those_given(client: openai.OpenAI) -> None:
    choice = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Weather in Paris, please."}],
        tools=[WEATHER, CLOCK],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    ).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    if call.function.name == "get_weather":
        _check_weather(call.function.arguments)
    else:
        assert call.function.name == "get_time"
        assert json.loads(call.function.arguments) == {"zone": "utc"}


def test_streamed_arguments_come_to_the_same_call(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Weather in Paris, please."}],
        tools=[WEATHER],
        tool_choice=_NAMED,
        temperature=0,
        stream=True,
    )
    names: list[str] = []
    ids: list[str] = []
    arguments = ""
    for chunk in stream:
        for part in chunk.choices[0].delta.tool_calls or []:
            assert part.index == 0
            assert part.function is not None
            names += [part.function.name] if part.function.name else []
            ids += [part.id] if part.id else []
            arguments += part.function.arguments or ""
    assert names == ["get_weather"]
    assert len(ids) == 1
    _check_weather(arguments)


def test_a_parsed_answer_is_of_its_type(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model="smollm2",
        messages=[{"role": "user", "content": "I won the lottery! How do I feel?"}],
        response_format=Mood,
        temperature=0,
    )
    mood = parsed.choices[0].message.parsed
    assert isinstance(mood, Mood)


def test_a_parsed_tool_call_is_of_its_type(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model="smollm2",
        messages=[{"role": "user", "content": "Note that I am glad."}],
        tools=[openai.pydantic_function_tool(Mood, name="note")],
        tool_choice={"type": "function", "function": {"name": "note"}},
        temperature=0,
    )
    (call,) = parsed.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Mood)


def test_completions_of_several_prompts(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="smollm2", prompt=["Once upon a time", "The sky is"], max_tokens=5, temperature=0
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 10


def test_embeddings_of_several_texts(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="minilm", input=["a house", "a home", "a whale"])
    assert [item.index for item in found.data] == [0, 1, 2]
    assert len({len(item.embedding) for item in found.data}) == 1


def test_a_response_is_kept_continued_and_forgotten(client: openai.OpenAI) -> None:
    first = client.responses.create(
        model="smollm2", input="My name is Ada.", max_output_tokens=16, temperature=0
    )
    assert first.output_text
    assert first.status in {"completed", "incomplete"}
    second = client.responses.create(
        model="smollm2",
        input="What is my name?",
        previous_response_id=first.id,
        max_output_tokens=16,
        temperature=0,
    )
    assert second.previous_response_id == first.id
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    assert client.responses.retrieve(second.id).output_text == second.output_text
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_a_response_streams_its_events_in_order(client: openai.OpenAI) -> None:
    stream = client.responses.create(
        model="smollm2",
        input="What is the capital of France?",
        max_output_tokens=16,
        temperature=0,
        stream=True,
        store=False,
    )
    events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] in {"response.completed", "response.incomplete"}
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    last = events[-1]
    assert last.type in {"response.completed", "response.incomplete"}
    assert getattr(last, "response").output_text == text  # noqa: B009 - a union of events


def test_a_parsed_response_is_of_its_type(client: openai.OpenAI) -> None:
    parsed = client.responses.parse(
        model="smollm2", input="I lost my keys. How do I feel?", text_format=Mood, temperature=0
    )
    assert isinstance(parsed.output_parsed, Mood)


def test_a_batch_runs_in_the_background(client: openai.OpenAI) -> None:
    lines = [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "smollm2", "messages": FRANCE, "max_tokens": 4, "temperature": 0},
        }
        for number in range(_LINES)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.files.create(file=("batch.jsonl", content), purpose="batch")
    assert client.files.retrieve(file.id).bytes == len(content)
    assert client.files.content(file.id).content == content
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = {"completed", "failed", "expired", "cancelled"}
    wait_until(lambda: client.batches.retrieve(batch.id).status in ended, "the batch")
    done = client.batches.retrieve(batch.id)
    assert done.status == "completed", done
    assert done.request_counts is not None
    assert done.request_counts.completed == _LINES
    assert done.output_file_id is not None
    results = [json.loads(line) for line in client.files.content(done.output_file_id).iter_lines()]
    assert {result["custom_id"] for result in results} == {f"line-{n}" for n in range(_LINES)}
    for result in results:
        assert result["response"]["status_code"] == 200
        assert result["response"]["body"]["choices"][0]["message"]["content"]
    assert batch.id in {one.id for one in client.batches.list()}
    assert client.files.delete(file.id).deleted


def test_errors_are_the_sdks_own_and_name_the_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=FRANCE)
    assert missing.value.code == "model_not_found"
    assert missing.value.request_id
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(
            model="smollm2", messages=FRANCE, temperature=9, extra_headers={"x-request-id": "mine"}
        )
    assert wrong.value.param == "temperature"
    assert wrong.value.request_id == "mine"


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"smollm2", "minilm"} <= names
    assert client.models.retrieve("smollm2").id == "smollm2"
