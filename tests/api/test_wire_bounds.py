"""Every number of a request fits what carries it further, or is refused by its field."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from enginehouse.engine.codec import ModelLimits, Parameters, decode_request
from enginehouse.registry.rollouts.spec import RolloutSpec
from pydantic import TypeAdapter

from enginehouse.contract import ENGINE_INPUTS
from enginehouse.errors import ServingError
from enginehouse.settings import Settings
from tests.api.request_types import applications, inputs, nodes, routes
from tests.api.speaking import Adapter, speaking


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _unbounded(schema: Any) -> list[dict[str, Any]]:
    def bounded(node: dict[str, Any], *names: str) -> bool:
        return any(node.get(name) is not None for name in names)

    return [
        node
        for node in nodes(schema)
        if node["type"] == "int" and not (bounded(node, "ge", "gt") and bounded(node, "le", "lt"))
    ]


def test_every_integer_of_every_route_has_two_bounds(tmp_path: Path) -> None:
    found = [
        (name, schema)
        for app in applications(Settings(home=tmp_path, fleet="host:1"))
        for route in routes(app)
        for name, schema in inputs(route)
    ]
    assert len({name for name, _ in found}) > 30
    assert {name: _unbounded(schema) for name, schema in found if _unbounded(schema)} == {}


def test_every_integer_of_a_rollouts_file_has_two_bounds() -> None:
    assert _unbounded(TypeAdapter(RolloutSpec).core_schema) == []


_FAR = [
    "3000000000",
    "-3000000000",
    "18446744073709551616",
    "-1" + "0" * 40,
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "1e300",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
]
_NUMBERS = [
    "top_k", "min_tokens", "max_tokens", "n", "temperature", "top_p", "min_p", "repetition_penalty",
    "presence_penalty", "frequency_penalty",
]  # fmt: skip


def _sent(adapter: Adapter, path: str, fields: str) -> Any:
    body = f'{{"model": "smollm2", {fields}}}'
    return adapter.http.post(path, content=body, headers={"content-type": "application/json"})


@pytest.mark.parametrize("far", _FAR)
@pytest.mark.parametrize("field", _NUMBERS)
def test_a_far_number_is_refused_by_its_field(adapter: Adapter, field: str, far: str) -> None:
    asked = len(adapter.replica.asked)
    said = {
        "/v1/chat/completions": '"messages": [{"role": "user", "content": "Hi"}]',
        "/v1/completions": '"prompt": "Hi"',
    }
    for path, prompt in said.items():
        answer = _sent(adapter, path, f'{prompt}, "{field}": {far}')
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == field
        assert len(answer.text) < 1000
    assert len(adapter.replica.asked) == asked


@pytest.mark.parametrize("far", ["18446744073709551616", "1e999", "NaN", "1" + "0" * 400])
@pytest.mark.parametrize(
    ("path", "fields", "field"),
    [
        ("/v1/completions", '"prompt": [1, {}]', "prompt"),
        ("/v1/completions", '"prompt": [[1], [{}]]', "prompt"),
        ("/v1/embeddings", '"input": "x", "dimensions": {}', "dimensions"),
        ("/v1/embeddings", '"input": [{}]', "input"),
        ("/v1/responses", '"input": "x", "max_output_tokens": {}', "max_output_tokens"),
        ("/v1/responses", '"input": "x", "temperature": {}', "temperature"),
        ("/detokenize", '"tokens": [{}]', "tokens"),
        ("/v1/completions", '"prompt": "x", "guided_json": {"minimum": {}}', "guided_json"),
        ("/v1/completions", '"prompt": "x", "seed": {}', "seed"),
        ("/v1/completions", '"prompt": "x", "logit_bias": {"1": {}}', "logit_bias"),
    ],
)
def test_far_numbers_are_refused_wherever_they_stand(
    adapter: Adapter, path: str, fields: str, field: str, far: str
) -> None:
    answer = _sent(adapter, path, fields.replace("{}", far))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"].replace("[", ".").split(".")[0] == field
    assert len(answer.text) < 1000


@pytest.mark.parametrize(
    "key", ["-1", "2000000000", "49152", "abc", "", "1.5", "1_0", " 1", "٣", "NaN", "9" * 400]
)
def test_a_bias_is_for_ids_of_the_vocabulary(adapter: Adapter, key: str) -> None:
    for body in (adapter.chat, adapter.complete):
        more = {"prompt": "Hi"} if body == adapter.complete else {}
        error = body(status=400, logit_bias={key: 1}, **more)["error"]
        assert error["param"].replace("[", ".").split(".")[0] == "logit_bias"
        assert len(error["message"]) < 500


@pytest.mark.parametrize("value", [101, -101, 1e30, "x", []])
def test_a_bias_is_a_number_from_minus_100_to_100(adapter: Adapter, value: Any) -> None:
    assert adapter.chat(status=400, logit_bias={"5": value})["error"]["param"].startswith(
        "logit_bias"
    )


def test_a_bias_reaches_the_engine(adapter: Adapter) -> None:
    adapter.chat("x", logit_bias={"5": -1.5, "49151": 100})
    assert adapter.replica.asked[-1][1].embedding_bias == {5: -1.5, 49151: 100.0}


_INTEGERS = {
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT64": np.uint64,
    "UINT8": np.uint8,
}


@pytest.mark.parametrize("spec", [s for s in ENGINE_INPUTS if s.dtype in _INTEGERS], ids=str)
def test_integers_of_the_contract_are_taken_or_refused_by_name(spec: Any) -> None:
    """At the ends of their type: what is taken can be sent on, what is not names its input."""
    info = np.iinfo(_INTEGERS[spec.dtype])
    limits = ModelLimits(2048, frozenset({2}), frozenset())
    for value in (info.min, info.max, -1 if info.min else 0):
        arrays = {
            "input_ids": np.array([[1, 2]], np.int32),
            "request_output_len": np.array([[4]], np.int32),
            "streaming": np.array([[True]]),
            "temperature": np.array([[1.0]], np.float32),
            "runtime_top_p": np.array([[0.9]], np.float32),
        }
        dims = [2 if d == -1 else d for d in spec.dims]
        arrays[spec.name] = np.full([1, *dims], value, info.dtype)
        refused: str | None = spec.name
        try:
            request: Any = decode_request(
                arrays, request_id="a", parameters=Parameters(), limits=limits
            )
        except ServingError as error:
            refused = error.field
        else:
            struct.pack("<iQ", request.sampling.top_k or 0, request.sampling.seed or 0)
        assert refused == spec.name


def test_every_list_of_every_route_stops_at_its_first_wrong_item(tmp_path: Path) -> None:
    endless = {
        name
        for app in applications(Settings(home=tmp_path, fleet="host:1"))
        for route in routes(app)
        for name, schema in inputs(route)
        for node in nodes(schema)
        if node["type"] in {"list", "set", "frozenset"} and not node.get("fail_fast")
    }
    assert endless == set()
