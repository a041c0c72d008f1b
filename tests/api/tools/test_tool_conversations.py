from __future__ import annotations

import re
from typing import Any

from enginehouse.api.tools.conversation import for_template, has_tools, in_words
from enginehouse.engine.json_schema import schema_grammar

from enginehouse.text.tool_calls import FORMATS
from enginehouse.text.tool_calls.guide import MOST_CALLS, calls_guide

_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def _call(call_id: str, arguments: str = '{"a": 1}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


_HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "Do."},
    {"role": "assistant", "content": "Well.", "tool_calls": [_call("call_1"), _call("call_2")]},
    {"role": "tool", "tool_call_id": "call_1", "content": "one"},
    {"role": "tool", "tool_call_id": "call_2", "content": "two"},
    {"role": "assistant", "content": "Done."},
]


def test_templates_get_arguments_as_objects_and_results_with_their_tool() -> None:
    found = for_template(_HISTORY, FORMATS["hermes"])
    assert found[1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert found[2]["name"] == "f"
    assert _HISTORY[1]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'


def test_arguments_that_are_no_json_stay_as_they_are() -> None:
    history = [{"role": "assistant", "content": "", "tool_calls": [_call("c", "oops")]}]
    (found,) = for_template(history, FORMATS["hermes"])
    assert found["tool_calls"][0]["function"]["arguments"] == "oops"
    for spoken in FORMATS.values():
        assert in_words(history, [], spoken)[0]["content"]


def test_mistral_gets_ids_that_it_takes_and_the_same_for_call_and_result() -> None:
    found = for_template(_HISTORY, FORMATS["mistral"])
    ids = [call["id"] for call in found[1]["tool_calls"]]
    assert all(re.fullmatch(r"[A-Za-z0-9]{9}", each) for each in ids)
    assert ids == [found[2]["tool_call_id"], found[3]["tool_call_id"]]
    assert len(set(ids)) == 2


def test_in_words_results_that_follow_each_other_are_one_message() -> None:
    found = in_words(_HISTORY, [_TOOL], FORMATS["hermes"])
    assert [m["role"] for m in found] == ["system", "user", "assistant", "user", "assistant"]
    assert found[2]["content"].startswith("Well.\n<tool_call>")
    assert found[3]["content"].count("<tool_response>") == 2
    assert has_tools(_HISTORY)
    assert not has_tools(found)


def test_every_format_has_words_for_tools_and_results() -> None:
    for spoken in FORMATS.values():
        found = in_words(_HISTORY, [_TOOL], spoken)
        assert '"f"' in found[0]["content"]
        assert "one" in found[3]["content"]
        assert "two" in found[3]["content"]


def test_guides_pass_the_engines_own_check() -> None:
    recursive = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    }
    tools = [_TOOL, {"type": "function", "function": {"name": "g", "parameters": recursive}}]
    guide = calls_guide(tools, "parameters", only=None, parallel=True)
    schema_grammar(guide.text)
    assert '{"$ref": "#/$defs/g"}' in guide.text
    assert f'"maxItems": {MOST_CALLS}' in guide.text
    assert '{"type": "null"}]}}, "additionalProperties": false}' in guide.text
