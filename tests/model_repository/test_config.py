from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from enginehouse.client.model_configs import pinned_version
from enginehouse.model_repository import config, whole_config
from tritonclient.grpc import model_config_pb2 as pb

from enginehouse import contract

_PUBLISHED = json.loads(
    (Path(__file__).parent.parent / "data" / "inflight_batcher_llm.json").read_text()
)
_PIN = whole_config.Pin("m", 3, 192)


def _rendered() -> dict[str, Any]:
    return {
        "preprocessing": config.preprocessing_config("m", [3]),
        "tensorrt_llm": config.engine_config("m", [3]),
        "postprocessing": config.postprocessing_config("m", [3]),
        "ensemble": config.ensemble_config("m", "m", 3),
        "tensorrt_llm_bls": whole_config.bls_config(_PIN, decoupled=True),
        "unary ensemble": whole_config.unary_ensemble_config(_PIN),
        "unary tensorrt_llm": whole_config.unary_engine_config(_PIN),
        "whole": whole_config.whole_config(_PIN),
    }


_PARTS = (
    "preprocessing",
    "tensorrt_llm",
    "postprocessing",
    "ensemble",
    "tensorrt_llm_bls",
    "unary ensemble",
    "unary tensorrt_llm",
)


@pytest.mark.parametrize("part", _PARTS)
@pytest.mark.parametrize("side", ["input", "output"])
def test_tensors_are_those_of_the_published_repository(part: str, side: str) -> None:
    """`data/inflight_batcher_llm.json` holds the published names, dtypes, dims and flags."""
    ours = {
        tensor.name: [
            pb.DataType.Name(tensor.data_type),
            list(tensor.dims),
            bool(getattr(tensor, "optional", False)),
        ]
        for tensor in getattr(_rendered()[part], side)
    }
    published = _PUBLISHED[part.removeprefix("unary ")][side]
    assert ours == published
    if side == "output":
        assert list(ours) == list(published)


@pytest.mark.parametrize("part", [*_PARTS, "whole"])
def test_a_rendered_config_reads_back_as_the_same_message(part: str) -> None:
    message = _rendered()[part]
    assert config.parse(config.render(message)) == message


def test_the_engine_is_decoupled_and_versions_are_explicit() -> None:
    message = config.engine_config("smollm2", [8, 7])
    assert message.name == "smollm2.tensorrt_llm"
    assert message.model_transaction_policy.decoupled
    assert list(message.version_policy.specific.versions) == [7, 8]


def test_postprocessing_has_one_instance_or_streams_lose_their_order() -> None:
    groups = config.postprocessing_config("m", [1]).instance_group
    assert [group.count for group in groups] == [1]


def test_an_alias_pins_every_step() -> None:
    message = config.ensemble_config("smollm2", "smollm2", 8)
    assert {step.model_version for step in message.ensemble_scheduling.step} == {8}
    assert pinned_version(message) == 8
    assert pinned_version(config.engine_config("smollm2", [8])) is None


@pytest.mark.parametrize("part", _rendered())
def test_more_than_one_request_in_a_batch_is_refused_by_the_configuration(part: str) -> None:
    assert _rendered()[part].max_batch_size == 1


def test_what_answers_once_is_not_decoupled_and_knows_its_version() -> None:
    for part in ("whole", "unary tensorrt_llm"):
        message = _rendered()[part]
        assert not message.model_transaction_policy.decoupled
        assert message.parameters["model"].string_value == "m"
        assert message.parameters["version"].string_value == "3"


def test_the_whole_takes_what_the_text_and_the_engine_take() -> None:
    names = {tensor.name for tensor in _rendered()["whole"].input}
    both = {**_PUBLISHED["tensorrt_llm"]["input"], **_PUBLISHED["tensorrt_llm_bls"]["input"]}
    assert names == both.keys()
    assert all(tensor.optional for tensor in _rendered()["whole"].input)


@pytest.mark.parametrize("part", ["ensemble", "unary ensemble"])
def test_every_input_of_the_ensemble_reaches_a_step(part: str) -> None:
    message = _rendered()[part]
    used = {outer for step in message.ensemble_scheduling.step for outer in step.input_map.values()}
    assert {tensor.name for tensor in message.input} <= used


def test_ensemble_names_of_engine_inputs() -> None:
    assert contract.ensemble_input_for("runtime_top_k") == "top_k"
    assert contract.ensemble_input_for("bad_words_list") == "bad_words"
    assert contract.ensemble_input_for("draft_input_ids") is None
