"""`/v1/messages` through Anthropic's SDK, in the whole application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from enginehouse.admin_token import ensure_admin_token
from enginehouse.settings import Settings
from tests.api.speaking import Adapter, speaking

_TOOL: Any = {
    "name": "weather",
    "description": "How it is outside",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    "cache_control": {"type": "ephemeral"},
}
_CALLED = 'Let me see. <tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
_HI: Any = [{"role": "user", "content": "Hi"}]
#: ChatML of a model that reasons, as its template says.
_REASONING = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{# <think> </think> #}"
)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _client(adapter: Adapter) -> Anthropic:
    http: Any = adapter.http
    return Anthropic(api_key="k", base_url="http://testserver", http_client=http, max_retries=0)


@pytest.fixture
def client(adapter: Adapter) -> Anthropic:
    adapter.replica.says.clear()
    return _client(adapter)


def _ask(adapter: Adapter, *says: str, status: int = 200, **body: Any) -> Any:
    adapter.replica.says.extend(says)
    whole = {"model": "smollm2", "max_tokens": 50, "messages": _HI} | body
    answer = adapter.http.post("/v1/messages", json=whole)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_question_is_answered(client: Anthropic, adapter: Adapter) -> None:
    adapter.replica.says.append("Hello.")
    found = client.messages.create(
        model="smollm2",
        max_tokens=20,
        system="Be kind.",
        messages=_HI,
        extra_body={"temperature": 0.5},
    )
    assert (found.role, found.type, found.model) == ("assistant", "message", "smollm2")
    assert [block.to_dict() for block in found.content] == [{"type": "text", "text": "Hello."}]
    assert (found.stop_reason, found.stop_sequence) == ("end_turn", None)
    assert found.usage.input_tokens == len(adapter.replica.asked[-1][1].input_ids)
    assert found.usage.output_tokens == 3
    assert "<|im_start|>system\nBe kind.<|im_end|>" in adapter.prompt()
    assert adapter.replica.asked[-1][1].sampling.temperature == 0.5
    assert adapter.replica.asked[-1][1].max_tokens == 20


def test_a_stream_is_the_message_that_is_not_streamed(client: Anthropic, adapter: Adapter) -> None:
    asked: Any = {"model": "smollm2", "max_tokens": 50, "messages": _HI, "tools": [_TOOL]}
    adapter.replica.says += [_CALLED, _CALLED]
    whole = client.messages.create(**asked).to_dict()
    with client.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream if event.type not in {"text", "input_json"}]
        streamed = stream.get_final_message().to_dict()
    assert whole["stop_reason"] == "tool_use"
    text, use = whole["content"]
    assert text == {"type": "text", "text": "Let me see."}
    assert (use["name"], use["input"]) == ("weather", {"city": "Rome"})
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    for message in (whole, streamed):
        message.pop("id")
        for block in message["content"]:
            block.pop("id", None)
    assert streamed == whole


def test_the_events_are_those_of_the_reference(adapter: Adapter) -> None:
    adapter.replica.says.append(_CALLED)
    body = {"model": "smollm2", "max_tokens": 50, "messages": _HI, "tools": [_TOOL], "stream": True}
    answer = adapter.http.post("/v1/messages", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    names, data = [], []
    for block in answer.text.strip().split("\n\n"):
        name, payload = block.split("\n")
        names.append(name.removeprefix("event: "))
        data.append(json.loads(payload.removeprefix("data: ")))
    assert names == [event["type"] for event in data]
    start = data[0]["message"]
    assert (start["content"], start["stop_reason"], start["usage"]["output_tokens"]) == (
        [],
        None,
        0,
    )
    assert start["usage"]["input_tokens"] > 0
    order = [name for name, before in zip(names, [None, *names], strict=False) if name != before]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert order == ["message_start", "ping", *block, *block, "message_delta", "message_stop"]
    blocks = [event for event in data if event["type"] == "content_block_start"]
    assert [(event["index"], event["content_block"]["type"]) for event in blocks] == [
        (0, "text"),
        (1, "tool_use"),
    ]
    assert blocks[1]["content_block"]["input"] == {}
    partial = [
        event["delta"]["partial_json"]
        for event in data
        if event.get("delta", {}).get("type") == "input_json_delta"
    ]
    assert json.loads("".join(partial)) == {"city": "Rome"}
    end = data[-2]
    reasons = {"stop_reason": "tool_use", "stop_sequence": None, "stop_details": None}
    assert end["delta"] == reasons
    assert end["usage"]["output_tokens"] > 0


def test_a_tool_is_called_and_its_result_answered(client: Anthropic, adapter: Adapter) -> None:
    adapter.replica.says += [_CALLED, "Sunny."]
    asked: Any = {"model": "smollm2", "max_tokens": 50, "tools": [_TOOL]}
    first = client.messages.create(messages=_HI, **asked)
    use = first.content[1]
    assert use.type == "tool_use"
    result: Any = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": use.id, "content": "20 degrees"},
            {"type": "text", "text": "So?"},
        ],
    }
    # As the SDK gives it, and as JSON.
    for content in (first.content, first.to_dict()["content"]):
        answer: Any = {"role": "assistant", "content": content}
        adapter.replica.says.append("Sunny.")
        second = client.messages.create(messages=[*_HI, answer, result], **asked)
        assert second.content[0].to_dict()["text"] == "Sunny."
        told = adapter.prompt()
        assert told.index("Let me see.") < told.index("20 degrees") < told.index("So?")
    adapter.replica.says.clear()


@pytest.mark.parametrize(
    ("choice", "forced"),
    [({"type": "any"}, True), ({"type": "tool", "name": "weather"}, True),
     ({"type": "auto", "disable_parallel_tool_use": True}, False), ({"type": "none"}, False)],
)  # fmt: skip
def test_tools_are_chosen_as_asked(
    adapter: Adapter, choice: dict[str, Any], *, forced: bool
) -> None:
    said = '[{"name": "weather", "parameters": {"city": "Rome"}}]' if forced else "No."
    _ask(adapter, said, tools=[_TOOL], tool_choice=choice)
    assert (adapter.guide() is not None) is forced
    assert ("How it is outside" in adapter.prompt()) is (choice["type"] != "none")


def test_an_answer_ends_for_the_reason_that_it_says(adapter: Adapter) -> None:
    cut = _ask(adapter, "one two three four", max_tokens=2)
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 2)
    stopped = _ask(adapter, "one two three four", stop_sequences=["zzz", " three"])
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", " three")
    assert stopped["content"] == [{"type": "text", "text": "one two"}]
    ended = _ask(adapter, "one two", stop_sequences=["three"])
    assert (ended["stop_reason"], ended["stop_sequence"]) == ("end_turn", None)


def test_a_limit_above_the_context_is_the_context(adapter: Adapter) -> None:
    assert _ask(adapter, "Hello.", max_tokens=64_000)["stop_reason"] == "end_turn"
    asked = adapter.replica.asked[-1][1]
    assert asked.max_tokens == 2048 - len(asked.input_ids)
    full = _ask(adapter, "word " * 3000, max_tokens=64_000)
    assert full["stop_reason"] == "model_context_window_exceeded"
    assert full["usage"]["input_tokens"] + full["usage"]["output_tokens"] == 2048


def test_tokens_are_counted_as_they_are_told(client: Anthropic, adapter: Adapter) -> None:
    told: Any = {"model": "smollm2", "system": "Be kind.", "messages": _HI, "tools": [_TOOL]}
    asked = len(adapter.replica.asked)
    counted = client.messages.count_tokens(**told).input_tokens
    assert len(adapter.replica.asked) == asked
    adapter.replica.says.append("Hello.")
    found = client.messages.create(max_tokens=10, **told)
    assert counted == found.usage.input_tokens
    long: Any = [{"role": "user", "content": "word " * 3000}]
    assert client.messages.count_tokens(model="smollm2", messages=long).input_tokens > 3000


def test_the_beta_client_is_answered(client: Anthropic, adapter: Adapter) -> None:
    adapter.replica.says.append("Hello.")
    found = client.beta.messages.create(
        model="smollm2", max_tokens=10, messages=_HI, betas=["context-management-2025-06-27"],
        context_management={"edits": [{"type": "clear_thinking_20251015"}]},
    )  # fmt: skip
    assert found.content[0].to_dict()["text"] == "Hello."


def test_a_schema_is_enforced(adapter: Adapter) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"type": "json_schema", "schema": schema}
    for asked in ({"output_config": {"format": form}}, {"output_format": form}):
        found = _ask(adapter, '{"a": 1}', **asked)
        assert json.loads(found["content"][0]["text"]) == {"a": 1}
        assert json.loads(adapter.guide().text) == schema


def test_reasoning_is_a_block_of_its_own(tmp_path: Path) -> None:
    with speaking(tmp_path, _REASONING) as adapter:
        adapter.replica.says += ["<think>Hm, hm.</think>Yes."] * 2
        client = _client(adapter)
        found = client.messages.create(model="smollm2", max_tokens=50, messages=_HI)
        assert [block.type for block in found.content] == ["thinking", "text"]
        assert found.usage.output_tokens_details is not None
        assert found.usage.output_tokens_details.thinking_tokens > 0
        with client.messages.stream(model="smollm2", max_tokens=50, messages=_HI) as stream:
            streamed = stream.get_final_message()
        assert [b.to_dict() for b in streamed.content] == [b.to_dict() for b in found.content]
        # What was thought is taken back, and not told again.
        answer: Any = {"role": "assistant", "content": found.content}
        adapter.replica.says.append("Sure.")
        client.messages.create(
            model="smollm2",
            max_tokens=50,
            messages=[*_HI, answer, {"role": "user", "content": "?"}],
        )
        assert "Hm, hm." not in adapter.prompt()
        assert "Yes." in adapter.prompt()


def test_an_answer_goes_on_where_the_assistant_left_off(adapter: Adapter) -> None:
    talk = [*_HI, {"role": "assistant", "content": "Hello, my"}]
    found = _ask(adapter, " friend.", messages=talk)
    assert found["content"] == [{"type": "text", "text": " friend."}]
    assert adapter.prompt().endswith("<|im_start|>assistant\nHello, my")


def test_thinking_is_the_templates_to_read(tmp_path: Path) -> None:
    asked = "{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}"
    asked += "{% if reasoning_effort is defined %} {{ reasoning_effort }}{% endif %}"
    with speaking(tmp_path, _REASONING + asked) as adapter:
        for fields, told in (
            ({}, ""),
            ({"thinking": {"type": "disabled"}}, "False"),
            ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "True"),
            ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "True low"),
        ):
            _ask(adapter, "Yes.", **fields)
            assert adapter.prompt().endswith(f"<|im_start|>assistant\n{told}")


def test_a_cut_call_has_what_there_is_of_it(adapter: Adapter) -> None:
    said = '<tool_call>{"name": "weather", "arguments": {"city": "Rome and Paris and Lisbon"}}'
    found = _ask(adapter, said, tools=[_TOOL], max_tokens=22)
    assert found["stop_reason"] == "max_tokens"
    (use,) = [block for block in found["content"] if block["type"] == "tool_use"]
    assert isinstance(use["input"], dict)


def test_models_are_listed_in_openais_form_still(adapter: Adapter) -> None:
    found = adapter.http.get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
    assert found["object"] == "list"
    assert found["data"][0]["id"] == "smollm2"


def test_the_openapi_document_describes_the_routes(adapter: Adapter) -> None:
    paths = adapter.http.get("/openapi.json").json()["paths"]
    posted = paths["/v1/messages"]["post"]["responses"]
    assert set(posted["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"400", "401", "403", "404", "413", "429", "529"} <= set(posted)
    assert "422" not in posted
    assert "/v1/messages/count_tokens" in paths


class TestErrors:
    def test_a_wrong_request_is_told_in_this_apis_form(self, client: Anthropic) -> None:
        wrong: Any = [{"role": "user", "content": [{"type": "image", "source": {}}]}]
        with pytest.raises(anthropic.BadRequestError) as failed:
            client.messages.create(model="smollm2", max_tokens=5, messages=wrong)
        body: Any = failed.value.body
        assert body["type"] == "error"
        assert body["error"]["type"] == "invalid_request_error"
        assert body["error"]["message"].startswith("messages.0.content.0: blocks of type 'image'")
        assert failed.value.request_id == body["request_id"]

    def test_a_model_that_is_not_there(self, client: Anthropic) -> None:
        with pytest.raises(anthropic.NotFoundError) as failed:
            client.messages.create(model="none", max_tokens=5, messages=_HI)
        assert failed.value.type == "not_found_error"

    def test_a_prompt_that_is_too_long(self, client: Anthropic) -> None:
        long: Any = [{"role": "user", "content": "word " * 3000}]
        with pytest.raises(
            anthropic.BadRequestError, match="prompt is too long: 3031 tokens > 2048"
        ):
            client.messages.create(model="smollm2", max_tokens=5, messages=long)

    def test_keys_are_asked_for_under_both_names(self, tmp_path: Path) -> None:
        with speaking(tmp_path, keys=True) as adapter:
            with pytest.raises(anthropic.AuthenticationError) as failed:
                _client(adapter).messages.create(model="smollm2", max_tokens=5, messages=_HI)
            assert failed.value.type == "authentication_error"
            token = ensure_admin_token(Settings(home=tmp_path))
            made = adapter.http.post(
                "/admin/keys", json={"tenant": "a"}, headers={"Authorization": f"Bearer {token}"}
            ).json()
            adapter.replica.says += ["Hello."] * 3
            for header in ({"x-api-key": made["key"]}, {"Authorization": f"Bearer {made['key']}"}):
                answer = adapter.http.post(
                    "/v1/messages",
                    json={"model": "smollm2", "max_tokens": 5, "messages": _HI},
                    headers={**header, "anthropic-version": "2023-06-01"},
                )
                assert answer.status_code == 200, answer.text

    def test_a_body_that_is_too_large(self, tmp_path: Path) -> None:
        with speaking(tmp_path, max_body_bytes=1000) as adapter:
            answer = adapter.http.post("/v1/messages", json={"system": "x" * 2000})
            assert answer.status_code == 413
            assert answer.json()["error"]["type"] == "request_too_large"

    @pytest.mark.parametrize(
        ("method", "path", "status", "kind"),
        [("GET", "/v1/messages", 405, "invalid_request_error"),
         ("GET", "/v1/messages/batches", 404, "not_found_error"),
         ("POST", "/v1/messages/batches", 404, "not_found_error")],
    )  # fmt: skip
    def test_what_is_not_here(
        self, adapter: Adapter, method: str, path: str, status: int, kind: str
    ) -> None:
        answer = adapter.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
        assert answer.json()["type"] == "error"

    def test_other_routes_keep_their_form(self, adapter: Adapter) -> None:
        found = adapter.http.post("/v1/chat/completions", json={}).json()
        assert "type" not in found
        assert "request-id" not in adapter.http.get("/v1/models").headers
