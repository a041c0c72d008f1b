from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.errors import SettingsError
from enginehouse.text.tool_calls import (
    FORMATS,
    ArgumentsDelta,
    CallStartDelta,
    TextDelta,
    guided_parser,
    tool_format,
)
from enginehouse.text.tool_calls.deltas import ToolCallParser
from enginehouse.text.tool_calls.reader import CallReader

NAMES = ("f", "get_weather")


@dataclass
class Read:
    """What deltas join to."""

    content: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


def read(parser: ToolCallParser, *pieces: str) -> Read:
    deltas = [delta for piece in pieces for delta in parser.push(piece)]
    deltas += parser.finish()
    found = Read()
    for delta in deltas:
        match delta:
            case TextDelta(text):
                assert text
                found.content += text
            case CallStartDelta(index, call_id, name):
                assert index == len(found.calls)
                found.calls.append((name, ""))
                found.ids.append(call_id)
            case ArgumentsDelta(index, text):
                name, before = found.calls[index]
                found.calls[index] = (name, before + text)
    assert parser.called is bool(found.calls)
    return found


def parse(name: str, *pieces: str, parallel: bool = True) -> Read:
    return read(FORMATS[name].parser(NAMES, parallel=parallel), *pieces)


_HERMES = '<tool_call>\n{"name": "f", "arguments": {"a": "}\\"{<"}}\n</tool_call>'


_LLAMA_F = '{"type": "function", "name": "f", "parameters": {}}'
_LLAMA_WEATHER = '{"name": "get_weather", "parameters": {"city": "Rome"}}'


@pytest.mark.parametrize(
    ("name", "text", "calls", "content"),
    [
        ("hermes", _HERMES, [("f", '{"a": "}\\"{<"}')], ""),
        ("hermes", f"Hm.\n{_HERMES}\n{_HERMES}\n", [("f", '{"a": "}\\"{<"}')] * 2, "Hm."),
        ("hermes", f"{_HERMES} So.", [("f", '{"a": "}\\"{<"}')], " So."),
        ("hermes", '<tool_call>{"arguments": {"x": 1}, "name": "f"}</tool_call>',
         [("f", '{"x": 1}')], ""),
        ("hermes", '<tool_call>[{"name": "f"}, {"name": "f", "arguments": null}]</tool_call>',
         [("f", "{}")] * 2, ""),
        ("hermes", '<tool_call>{"name": "f", "arguments": "{\\"x\\": 1}"}',
         [("f", '{"x": 1}')], ""),
        ("llama3_json", '{"name": "f", "parameters": {"x": [1]}}', [("f", '{"x": [1]}')], ""),
        ("llama3_json", f"<|python_tag|>{_LLAMA_F}; {_LLAMA_WEATHER}",
         [("f", "{}"), ("get_weather", '{"city": "Rome"}')], ""),
        ("llama3_json", 'So: {"name": "f", "parameters": {}}', [],
         'So: {"name": "f", "parameters": {}}'),
        ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {"x": 1}, "id": "abcdefghi"}]',
         [("f", '{"x": 1}')], ""),
        ("mistral", '[TOOL_CALLS]f[CALL_ID]abc[ARGS]{"x": 1}[TOOL_CALLS]get_weather{}',
         [("f", '{"x": 1}'), ("get_weather", "{}")], ""),
        ("mistral", '[{"name": "f", "arguments": {}}]', [("f", "{}")], ""),
        ("mistral", 'f{"x": 1}get_weather{}', [("f", '{"x": 1}'), ("get_weather", "{}")], ""),
        ("pythonic", '[f(a=1, b="x)]", c=[True, null, {"k": -1.5}]), get_weather()]',
         [("f", '{"a": 1, "b": "x)]", "c": [true, null, {"k": -1.5}]}'), ("get_weather", "{}")],
         ""),
        ("pythonic", "<|python_start|>[f(a='it\\'s')]<|python_end|>", [("f", '{"a": "it\'s"}')],
         ""),
    ],
)  # fmt: skip
def test_each_familys_calls_are_read(
    name: str, text: str, calls: list[tuple[str, str]], content: str
) -> None:
    found = parse(name, text)
    assert (found.calls, found.content) == (calls, content)
    assert all(isinstance(json.loads(arguments), dict) for _, arguments in found.calls)
    assert len(set(found.ids)) == len(found.ids)
    assert all(len(i) == 29 and i.startswith("call_") for i in found.ids)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hermes", "<tool_call>"),
        ("hermes", '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>'),
        ("hermes", '<tool_call>{"name": "f", "arguments": [1]}</tool_call>'),
        ("hermes", '<tool_call>{"name": "f", "argu'),
        ("hermes", '<tool_call>{"arguments": {"x": 1}}</tool_call>'),
        ("hermes", "<tool_call>[]</tool_call> \n"),
        ("hermes", '<tool_call>{"name": "f", "arguments": "{\\"a\\": \\"\\ud800\\"}"}</tool_call>'),
        ("hermes", "a < b and <tool_"),
        ("llama3_json", '{"city": "Rome"}'),
        ("llama3_json", '{"name": "Bob", "parameters": {}}'),
        ("mistral", "[1, 2]"),
        ("mistral", "find {x}"),
        ("pythonic", "[1, 2]"),
        ("pythonic", "[f(a=b)]"),
        ("pythonic", "[f(1)]"),
        ("pythonic", "[f(**{'a': 1})]"),
        ("pythonic", "[f(a=__import__('os'))]"),
        ("pythonic", "[f(a=1e999)]"),
        ("pythonic", "[f(a={1})]"),
        ("pythonic", f"[f(a={'(' * 300}1{')' * 300})]"),
        ("pythonic", f"[f(a={'-' * 20000}1)]"),
    ],
)
def test_what_is_no_call_is_given_as_text(name: str, text: str) -> None:
    found = parse(name, text)
    assert (found.calls, found.content) == ([], text)


def test_a_call_that_is_cut_off_keeps_what_it_had() -> None:
    found = parse("hermes", '<tool_call>{"name": "f", "arguments": {"a": 1, "b')
    assert (found.calls, found.content) == ([("f", '{"a": 1, "b')], "")


def test_a_broken_second_call_is_text_behind_the_first() -> None:
    text = '<tool_call>{"name": "f", "arguments": {}}\n{"name": 5}</tool_call>'
    found = parse("hermes", text)
    assert (found.calls, found.content) == ([("f", "{}")], '\n{"name": 5}</tool_call>')


def test_a_marker_inside_what_is_no_call_opens_one() -> None:
    found = parse("hermes", f"<tool_call>oops {_HERMES}")
    assert found.content == "<tool_call>oops"
    assert len(found.calls) == 1


def test_arguments_are_given_while_they_grow() -> None:
    parser = FORMATS["hermes"].parser(NAMES)
    assert parser.push('<tool_call>{"name": "f", ') == []
    (start, opened) = parser.push('"arguments": {"ci')
    assert isinstance(start, CallStartDelta)
    assert opened == ArgumentsDelta(0, '{"ci')
    assert parser.push('ty": "Ro') == [ArgumentsDelta(0, 'ty": "Ro')]


def test_only_what_may_open_a_call_is_held_back() -> None:
    parser = FORMATS["hermes"].parser(NAMES)
    assert parser.push("one <") == [TextDelta("one")]
    assert parser.push("b>two</b>") == [TextDelta(" <b>two</b>")]


def test_without_parallel_calls_one_is_given() -> None:
    found = parse("hermes", f"{_HERMES}\n{_HERMES}", parallel=False)
    assert [name for name, _ in found.calls] == ["f"]


@pytest.mark.parametrize("text", ['{"name": "f", "arguments": {"x": 1}}',
                                  '[{"name": "f", "parameters": {"x": 1}}]'])  # fmt: skip
def test_calls_under_a_guide_are_read_without_a_marker(text: str) -> None:
    assert read(guided_parser(NAMES, parallel=True), text).calls == [("f", '{"x": 1}')]


def test_an_object_beside_calls_is_the_answer() -> None:
    text = '{"name": "f", "arguments": {}}'
    assert read(guided_parser(NAMES, parallel=True, or_object=True), text).content == text


_FRAGMENTS = st.sampled_from(
    [
        "<tool_call>", "</tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "<tool", "{",
        "}", "[", "]", '"', "\\", ";", ",", ":", " ", "\n", "f", "(", ")", "=", "x", "é😀",
        '{"name": "f", "arguments": {"x": 1}}', '{"name": "f", "parameters": {}}', '"name"',
        '"arguments"', "[f(a=1)]", "f(b='x')", "null", "1", "<think>", 'f{"x": 2}',
    ]
)  # fmt: skip
_TEXTS = st.lists(_FRAGMENTS, max_size=14).map("".join)
_GUIDED = "guided"


def _fresh(name: str) -> ToolCallParser:
    if name == _GUIDED:
        return guided_parser(NAMES, parallel=True)
    return FORMATS[name].parser(NAMES)


@given(st.sampled_from([*FORMATS, _GUIDED]), _TEXTS, st.lists(st.integers(0, 9), max_size=40))
def test_any_split_of_a_text_gives_the_same_as_the_whole(
    name: str, text: str, sizes: list[int]
) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    split = read(_fresh(name), *pieces, text[at:])
    whole = read(_fresh(name), text)
    assert (split.calls, split.content) == (whole.calls, whole.content)
    if not whole.calls:
        assert whole.content == text


@given(
    st.sampled_from(list(FORMATS)),
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.dictionaries(
                st.sampled_from(["a", "b", "c"]),
                st.recursive(
                    st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: (
                        st.lists(inner, max_size=3)
                        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
                    ),
                    max_leaves=6,
                ),
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_calls_that_a_format_writes_are_read_back(
    name: str, calls: list[tuple[str, dict[str, object]]]
) -> None:
    spoken = FORMATS[name]
    found = read(spoken.parser(NAMES), spoken.written(calls))
    assert [(n, json.loads(arguments)) for n, arguments in found.calls] == calls
    assert found.content == ""


def test_ids_of_calls_come_from_one_place() -> None:
    parser = CallReader(FORMATS["hermes"], NAMES, new_id=lambda: "call_1")
    assert read(parser, _HERMES).ids == ["call_1"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{{ messages }}", "hermes"),
        ("{{ '<tool_call>' }}", "hermes"),
        ("{{ '[TOOL_CALLS]' }}", "mistral"),
        ("{{ '<|python_tag|>' }}", "llama3_json"),
        ("[func_name1(params_name1=params_value1)]", "pythonic"),
    ],
)
def test_the_template_says_which_format_a_model_speaks(source: str, name: str) -> None:
    assert tool_format(source).name == name
    assert tool_format(source, "mistral").name == "mistral"


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="hermes, llama3_json, mistral, pythonic"):
        tool_format("", "morse")
