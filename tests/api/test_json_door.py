"""Bodies as they come in: their type, their encoding, and what JSON leaves to its reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.json_route import JsonRoute
from enginehouse.registry.controller.json_api import ControllerRoute
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.errors import InvalidJsonError, InvalidRequestError
from enginehouse.requests.json_text import MOST_LEVELS, read_json, well_formed
from enginehouse.settings import Settings
from tests.api.request_types import applications, routes
from tests.api.speaking import Adapter, speaking

_JSON = {"content-type": "application/json"}
#: Each server has a class of its own around `read_json`.
_READS_JSON = (JsonRoute, ControllerRoute)
_HI = '{"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]}'


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from('\\u"d8')),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(_ANY, st.booleans())
def test_json_reads_as_python_reads_it_but_for_surrogates(value: Any, ascii_only: bool) -> None:  # noqa: FBT001 - given by hypothesis
    text = json.dumps(value, ensure_ascii=ascii_only)
    found = read_json(json.dumps(value).encode() if not ascii_only else text.encode())
    for one in _strings(found):
        one.encode()
    assert found == json.loads(well_formed(json.dumps(value, ensure_ascii=False)))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"a\uDE00b"', "a\ufffdb"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (rb'{"\ud83d": ["\udbff"]}', {"\ufffd": ["\ufffd"]}),
    ],
)
def test_a_lone_surrogate_is_the_replacement_character(raw: bytes, value: Any) -> None:
    assert read_json(raw) == value


@pytest.mark.parametrize(
    "raw",
    [b'"\xed\xa0\xbd"', b'"\xff"', b'"\xc0\xaf"', '"x"'.encode("utf-16"), b"{", b"", b"{'a': 1}"],
)
def test_what_is_no_json_in_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        read_json(raw)


@pytest.mark.parametrize("far", ["NaN", "-Infinity", "1e400", str(2**64), "-" + "9" * 5000])
def test_a_number_out_of_range_is_named_by_its_place(far: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_json(f'{{"a": [0, {{"b": {far}}}], "c": "{far}"}}'.encode())
    assert caught.value.field == "a[1].b"


def test_numbers_of_64_bits_and_digits_in_texts_are_taken() -> None:
    value = {"a": 2**64 - 1, "b": -(2**63), "c": "9" * 5000, "d": 1e308}
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("levels", [MOST_LEVELS + 2, 1_000, 100_000])
def test_deep_nesting_is_refused(levels: int) -> None:
    with pytest.raises(InvalidJsonError):
        read_json(b"[" * levels + b"]" * levels)
    assert read_json(b"[" * 100 + b"]" * 100)


_CUT = r"a\ud83d"
_FUNCTION = {"name": "f", "description": "CUT", "parameters": {"properties": {"CUT": {}}}}
_CALL = {"id": "CUT", "type": "function", "function": {"name": "f", "arguments": "CUT"}}
_USER = {"role": "user", "content": "Hi"}
_RESULT = {"role": "tool", "tool_call_id": "CUT", "content": "CUT"}
_CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (_CHAT, {"messages": [{"role": "user", "content": "CUT"}]}),
        (_CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "CUT"}]}]}),
        (_CHAT, {"messages": [_USER], "tools": [{"type": "function", "function": _FUNCTION}]}),
        (_CHAT, {"messages": [_USER], "user": "CUT", "stop": ["CUT"], "metadata": {"CUT": "CUT"}}),
        (_CHAT, {"messages": [_USER, {"role": "assistant", "tool_calls": [_CALL]}, _RESULT]}),
        ("/v1/completions", {"prompt": ["CUT"], "user": "CUT", "echo": True}),
        ("/v1/completions", {"prompt": "x", "guided_json": {"type": "string", "const": "CUT"}}),
        ("/v1/completions", {"prompt": "x", "guided_regex": "CUT"}),
        ("/v1/responses", {"input": "CUT", "instructions": "CUT", "metadata": {"a": "CUT"}}),
        ("/tokenize", {"prompt": "CUT"}),
        ("/tokenize", {"messages": [{"role": "user", "content": "CUT"}]}),
    ],
)
def test_half_an_emoji_is_answered_everywhere(
    adapter: Adapter, path: str, fields: dict[str, Any]
) -> None:
    adapter.replica.says.clear()
    adapter.replica.says.append("Yes")
    body = json.dumps({"model": "smollm2"} | fields).replace("CUT", _CUT)
    answer = adapter.http.post(path, content=body, headers=_JSON)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "fields", ['"\\ud83d": 1', '"tools": [{"type": "\\ud83d"}]', '"service_tier": "\\ud83d"']
)
def test_half_an_emoji_may_be_told_back(adapter: Adapter, fields: str) -> None:
    body = _HI.replace("{", f"{{{fields}, ", 1)
    assert adapter.http.post("/v1/chat/completions", content=body, headers=_JSON).status_code == 400


@pytest.mark.parametrize(
    "given",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/a+json",
    ],
)
def test_types_of_json_are_taken(adapter: Adapter, given: str) -> None:
    adapter.replica.says.append("Yes")
    headers = {"content-type": given}
    answer = adapter.http.post("/v1/chat/completions", content=_HI, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"content-type": ""}),
        ("/v1/chat/completions", {"content-type": "text/plain"}),
        ("/v1/chat/completions", {"content-type": "application/x-www-form-urlencoded"}),
        ("/v1/chat/completions", {**_JSON, "content-encoding": "gzip"}),
        ("/v1/completions", {}),
        ("/v1/embeddings", {}),
        ("/v1/responses", {}),
        ("/v1/batches", {}),
        ("/v1/feedback", {}),
        ("/tokenize", {}),
        ("/detokenize", {}),
        ("/v1/files", {}),
        ("/v1/files", _JSON),
    ],
)
def test_a_body_of_another_type_is_415(
    adapter: Adapter, path: str, headers: dict[str, str]
) -> None:
    answer = adapter.http.post(path, content=_HI, headers=headers)
    assert answer.status_code == 415, answer.text
    error = answer.json()["error"]
    assert error["code"] == "unsupported_media_type"
    assert error["message"].startswith("Content-")


def test_a_missing_body_is_no_question_of_its_type(adapter: Adapter) -> None:
    answer = adapter.http.post("/v1/chat/completions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        400,
        "missing_required_parameter",
    )


def test_every_route_with_a_body_reads_it_here(tmp_path: Path) -> None:
    for app in applications(Settings(home=tmp_path, fleet="host:1")):
        found = list(routes(app))
        assert found
        assert [route.path for route in found if not isinstance(route, _READS_JSON)] == []
