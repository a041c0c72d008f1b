"""Anthropic's SDK: whole answers, streams, tools, counting, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.conftest import RunningStack

pytestmark = pytest.mark.slow(reason="client libraries of others, which take seconds to import")

FRANCE: Any = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Lisbon"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
#: Fields that the newest SDK has no arguments for.
_GREEDY: Any = {"temperature": 0}


@pytest.fixture(scope="module")
def client(served: RunningStack) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=served.url, api_key="unused", max_retries=0) as sdk:
        yield sdk


def test_a_whole_answer_and_its_stream_say_the_same(client: anthropic.Anthropic) -> None:
    asked: Any = {"model": "smollm2", "max_tokens": 24, "messages": FRANCE, "extra_body": _GREEDY}
    whole = client.messages.create(**asked)
    assert whole.content[0].to_dict()["text"]
    assert whole.usage.output_tokens <= 24
    with client.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].to_dict()["text"]
    assert (final.stop_reason, final.usage) == (whole.stop_reason, whole.usage)


def test_counting_is_what_the_answer_reports(client: anthropic.Anthropic) -> None:
    told: Any = {"model": "smollm2", "system": "Be short.", "messages": FRANCE}
    found = client.messages.create(max_tokens=1, **told)
    assert found.stop_reason == "max_tokens"
    assert client.messages.count_tokens(**told).input_tokens == found.usage.input_tokens


def test_a_forced_call_follows_its_schema_and_its_result_is_answered(
    client: anthropic.Anthropic,
) -> None:
    asked: Any = {"model": "smollm2", "max_tokens": 64, "tools": [WEATHER], "extra_body": _GREEDY}
    choice: Any = {"type": "tool", "name": "get_weather"}
    with client.messages.stream(messages=FRANCE, tool_choice=choice, **asked) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    (use,) = first.content
    assert use.type == "tool_use"
    assert use.input["city"] in {"Paris", "Lisbon"}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "20 degrees"}
    talk: Any = [*FRANCE, {"role": "assistant", "content": first.content},
                 {"role": "user", "content": [result]}]  # fmt: skip
    second = client.messages.create(messages=talk, **asked)
    assert second.stop_reason in {"end_turn", "max_tokens", "tool_use"}


def test_a_stop_sequence_is_told(client: anthropic.Anthropic) -> None:
    asked: Any = {"model": "smollm2", "max_tokens": 32, "messages": FRANCE, "extra_body": _GREEDY}
    text = client.messages.create(**asked).content[0].to_dict()["text"]
    word = text.split()[2]
    found = client.messages.create(stop_sequences=[word], **asked)
    assert (found.stop_reason, found.stop_sequence) == ("stop_sequence", word)


def test_a_schema_is_followed(client: anthropic.Anthropic) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Lisbon"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    found = client.messages.create(
        model="smollm2", max_tokens=64, messages=FRANCE,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )  # fmt: skip
    assert json.loads(found.content[0].to_dict()["text"])["city"] in {"Paris", "Lisbon"}


def test_errors_are_the_sdks_own(client: anthropic.Anthropic) -> None:
    asked: Any = {"model": "smollm2", "max_tokens": 8}
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**asked | {"model": "none"}, messages=FRANCE)
    long: Any = [{"role": "user", "content": "word " * 9000}]
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        client.messages.create(**asked, messages=long)
    image: Any = [{"role": "user", "content": [{"type": "image", "source": {}}]}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.content\.0") as failed:
        client.messages.create(**asked, messages=image)
    assert failed.value.request_id
