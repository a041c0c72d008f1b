"""Events and bodies, read by the SDK's own types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from enginehouse.gateway.responses.events import Event, ResponseWriter
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from enginehouse.errors import EnginehouseError, EngineUnavailableError, QueueFullError

_SKELETON = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "error": None,
    "incomplete_details": None,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}
_USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 4,
    "total_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
_ADAPTER: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def _delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}


def _call(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    named = {} if name is None else {"id": f"call_{index}", "type": "function"}
    function = {"arguments": arguments} | ({} if name is None else {"name": name})
    return {"index": index, **named, "function": function}


def _written(
    *choices: dict[str, Any], fails: EnginehouseError | None = None
) -> tuple[list[Event], dict[str, Any]]:
    writer = ResponseWriter(_SKELETON)
    events = writer.begin()
    for choice in choices:
        events += writer.choice(choice)
    events += writer.finish(_USAGE, 2.0) if fails is None else writer.fail(fails)
    events.append(writer.last())
    # On the wire each event is what it was when it was sent.
    sent = [json.loads(json.dumps(event)) for event in events]
    for event in sent:
        _ADAPTER.validate_python(event)
    assert [event["sequence_number"] for event in sent] == list(range(len(sent)))
    Response.model_validate(writer.response)
    assert sent[-1]["response"] == json.loads(json.dumps(writer.response))
    return sent, writer.response


def _kinds(events: list[Event]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_text_comes_as_one_message_of_one_part() -> None:
    events, response = _written(
        _delta(role="assistant", content=""), _delta(content="Hel"), _delta("stop", content="lo")
    )
    assert _kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["output"] == []
    (message,) = response["output"]
    assert message["status"] == "completed"
    assert Response.model_validate(response).output_text == "Hello"
    assert response["completed_at"] == 2
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 2
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] == 1


def test_reasoning_words_and_calls_are_items_in_their_order() -> None:
    events, response = _written(
        _delta(reasoning_content="hm"),
        _delta(reasoning_content="m"),
        _delta(content="I look."),
        _delta(tool_calls=[_call(0, "", "weather")]),
        _delta(tool_calls=[_call(0, '{"a":')]),
        _delta(tool_calls=[_call(0, "1}")]),
        _delta("tool_calls", tool_calls=[_call(1, "{}", "other")]),
    )
    assert [item["type"] for item in response["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    first, second = response["output"][2:]
    assert (first["name"], first["arguments"]) == ("weather", '{"a":1}')
    assert (second["name"], second["call_id"]) == ("other", "call_1")
    places = [event["output_index"] for event in events if "output_index" in event]
    assert places == sorted(places)
    done = [e for e in events if e["type"] == "response.function_call_arguments.done"]
    assert [e["arguments"] for e in done] == ['{"a":1}', "{}"]
    assert response["output"][0]["content"] == [{"type": "reasoning_text", "text": "hmm"}]


def test_the_sdk_puts_the_events_together_to_the_same_response() -> None:
    events, response = _written(
        _delta(content="I "),
        _delta(content="look."),
        _delta(tool_calls=[_call(0, "{", "weather")]),
        _delta("tool_calls", tool_calls=[_call(0, "}")]),
    )
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events[:-1]:
        state.handle_event(_ADAPTER.validate_python(event))
    snapshot = state.accumulate_event(_ADAPTER.validate_python(events[-2]))
    assert snapshot.output[0].content[0].text == "I look."
    assert snapshot.output[1].arguments == "{}"
    state.handle_event(_ADAPTER.validate_python(events[-1]))
    assert state._completed_response.output_text == "I look."
    assert response["status"] == "completed"


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_early_end_is_incomplete_and_says_why(finish: str, reason: str) -> None:
    events, response = _written(_delta(content="a"), _delta(finish))
    assert events[-1]["type"] == "response.incomplete"
    assert response["incomplete_details"] == {"reason": reason}
    assert response["output"][0]["status"] == "incomplete"
    assert response.get("completed_at") is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineUnavailableError("gone"), "server_error"),
        (QueueFullError("x"), "rate_limit_exceeded"),
    ],
)
def test_a_failure_keeps_what_was_said(error: EnginehouseError, code: str) -> None:
    events, response = _written(_delta(content="a"), fails=error)
    assert events[-1]["type"] == "response.failed"
    assert response["error"] == {"code": code, "message": str(error)}
    assert response["output"][0]["content"][0]["text"] == "a"


def test_an_empty_answer_is_an_empty_message() -> None:
    _, response = _written(_delta("stop"))
    assert response["output"][0]["content"][0]["text"] == ""


def test_a_whole_answer_is_written_like_a_stream() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}] * 2
    message = {"role": "assistant", "content": "a", "reasoning_content": "b", "tool_calls": calls}
    _, response = _written({"index": 0, "message": message, "finish_reason": "tool_calls"})
    kinds = [item["type"] for item in response["output"]]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]


def test_log_probabilities_stand_with_their_text() -> None:
    score = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    choice = {**_delta("stop", content="a"), "logprobs": {"content": [score], "refusal": None}}
    events, response = _written(choice)
    assert response["output"][0]["content"][0]["logprobs"] == [score]
    delta = next(e for e in events if e["type"] == "response.output_text.delta")
    assert delta["logprobs"] == [score]
