"""`/v1/responses` in the whole application: what the model is really told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from enginehouse.gateway.paths import FIXED_NAMES, ONE_RESPONSE
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Route

from tests.api.speaking import Adapter, speaking


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _respond(adapter: Adapter, *says: str, status: int = 200, **body: Any) -> Any:
    adapter.replica.says.extend(says)
    answer = adapter.http.post("/v1/responses", json={"model": "smollm2"} | body)
    assert answer.status_code == status, answer.text
    return answer.json()


def _long_talk(turns: int = 30) -> list[dict[str, Any]]:
    talk: list[dict[str, Any]] = [{"role": "developer", "content": "Be kind."}]
    for turn in range(turns):
        talk.append({"role": "user", "content": f"question {turn} " + "word " * 100})
        talk.append({"role": "assistant", "content": f"answer {turn}"})
    return [*talk, {"role": "user", "content": "The last one?"}]


def test_a_conversation_that_is_too_long_is_refused_unless_it_may_be_truncated(
    adapter: Adapter,
) -> None:
    asked = {"input": _long_talk(), "max_output_tokens": 20}
    error = _respond(adapter, status=400, **asked)["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input")
    found = _respond(adapter, "Yes.", truncation="auto", **asked)
    assert (found["status"], found["truncation"]) == ("completed", "auto")
    told = adapter.prompt()
    assert "Be kind." in told
    assert "question 29" in told
    assert "The last one?" in told
    assert "question 0 " not in told
    # As much is kept as there is room for, and it begins with a question.
    room = 2048 - found["usage"]["input_tokens"]
    assert 20 <= room < 20 + 2 * 125
    first = told.index("question ")
    assert "answer" not in told[:first]


def test_what_fits_is_told_whole(adapter: Adapter) -> None:
    _respond(adapter, "Yes.", truncation="auto", input=_long_talk(2))
    assert "question 0" in adapter.prompt()


def test_a_last_message_that_is_too_long_alone_is_refused(adapter: Adapter) -> None:
    long = {"role": "user", "content": "word " * 3000}
    error = _respond(adapter, status=400, truncation="auto", input=[long])["error"]
    assert error["code"] == "context_length_exceeded"


def test_a_call_goes_with_its_outputs(adapter: Adapter) -> None:
    calls: list[dict[str, Any]] = [{"role": "user", "content": "Go."}]
    for turn in range(20):
        call_id = f"call_{turn}"
        calls += [
            {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": call_id, "output": "word " * 200},
            {"role": "assistant", "content": "Next."},
        ]
    tools = [{"type": "function", "name": "f"}]
    _respond(adapter, "Done.", truncation="auto", input=calls, tools=tools)
    told = adapter.prompt()
    # The tools' description has one of each as well.
    calls_told, outputs_told = told.count('"name": "f", "arguments"'), told.count("<tool_response>")
    assert 0 < calls_told == outputs_told
    assert calls_told < 20


def test_an_answer_goes_on_where_the_last_message_ends(adapter: Adapter) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, my"}]
    _respond(adapter, " friend.", input=talk, continue_final_message=True)
    assert adapter.prompt().endswith("<|im_start|>assistant\nHello, my")


def _count(adapter: Adapter, **body: Any) -> int:
    asked = len(adapter.replica.asked)
    answer = adapter.http.post("/v1/responses/input_tokens", json={"model": "smollm2"} | body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["object"] == "response.input_tokens"
    assert len(adapter.replica.asked) == asked
    return int(answer.json()["input_tokens"])


def test_tokens_are_counted_as_they_are_told(adapter: Adapter) -> None:
    tools = [{"type": "function", "name": "f", "description": "does it"}]
    for asked in (
        {"input": "Hi"},
        {"input": "Hi", "instructions": "Be kind."},
        {"input": [{"role": "user", "content": "Hi"}], "tools": tools},
        {"input": _long_talk(), "truncation": "auto"},
    ):
        counted = _count(adapter, **asked)
        assert counted == _respond(adapter, "Yes.", **asked)["usage"]["input_tokens"]
    previous = _respond(adapter, "Yes.", input="Hi")["id"]
    more = {"input": "And?", "previous_response_id": previous}
    assert _count(adapter, **more) > _count(adapter, input="And?")


def test_counting_costs_nothing(adapter: Adapter) -> None:
    def used() -> int:
        report = adapter.http.get("/v1/usage").json()
        return sum(row["prompt_tokens"] for row in report.get("data", []))

    before = used()
    _count(adapter, input="Hi")
    assert used() == before


def test_a_field_that_counting_does_not_know_is_refused_by_name(adapter: Adapter) -> None:
    body = {"model": "smollm2", "input": "Hi", "temperature": 1}
    answer = adapter.http.post("/v1/responses/input_tokens", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "temperature")


def test_no_fixed_name_is_taken_for_an_id(adapter: Adapter) -> None:
    """What a later route is called is no id either."""
    paths = adapter.http.get("/openapi.json").json()["paths"]
    below = {path.split("/")[3] for path in paths if path.startswith("/v1/responses/")}
    fixed = {name for name in below if "{" not in name}
    assert "input_tokens" in fixed <= set(FIXED_NAMES)
    one = Route(ONE_RESPONSE, PlainTextResponse("id"))

    def taken(name: str) -> bool:
        scope = {"type": "http", "method": "GET", "path": f"/v1/responses/{name}", "headers": []}
        return one.matches(scope)[0] is Match.FULL

    assert not any(taken(name) for name in FIXED_NAMES)
    assert all(taken(name) for name in ("resp_0", "input_tokens_1", "compacted"))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": [{"role": "user", "content": "a"}, {"type": "mcp_call"}]}, "input[1]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
         "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
         "input[0].content[0].text"),
        ({"input": "Hi", "max_output_tokens": 5000}, "max_output_tokens"),
        ({"input": "Hi", "stop": ""}, "stop"),
        ({"input": "Hi", "top_k": -2}, "top_k"),
        ({"input": "Hi", "reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"input": "Hi", "text": {"format": {"type": "json_object"}}, "guided_regex": "a"}, None),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]},
         "input[0].call_id"),
    ],
)  # fmt: skip
def test_errors_name_the_callers_own_field(
    adapter: Adapter, body: dict[str, Any], param: str | None
) -> None:
    error = _respond(adapter, status=400, **body)["error"]
    if param is not None:
        assert error["param"] == param
    for foreign in ("max_completion_tokens", "messages", "response_format", "reasoning_effort"):
        assert foreign not in (error["param"] or "")
    for foreign in ("max_completion_tokens", "response_format", "reasoning_effort"):
        assert foreign not in error["message"]
