"""The facts behind `system_fingerprint`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from enginehouse.client.wire import decode_described
from enginehouse.engine.codec import Parameters, description, read_parameters
from enginehouse.engine.identity import as_text, engine_identity
from tritonclient.grpc import service_pb2 as pb

from enginehouse import host
from enginehouse.manifest import EngineSettings
from tests.fake_bundle import fake_bundle

_DEFAULTS = EngineSettings()


@pytest.mark.parametrize(
    ("change", "decides"),
    [
        ({"precision_hint": "f32"}, True),
        ({"kv_cache_precision": "f16"}, True),
        ({"max_batched_tokens": 512}, True),
        ({"prefix_caching": False}, True),
        ({"threads": 1}, True),
        ({"deterministic": True}, True),
        ({"max_queue": 7}, False),
        ({"coalescing": False}, False),
    ],
)
def test_settings_that_decide_numbers_are_in_it(
    tmp_path: Path, change: dict[str, object], *, decides: bool
) -> None:
    manifest = fake_bundle(tmp_path).manifest
    before = as_text(engine_identity(manifest, _DEFAULTS))
    assert as_text(engine_identity(manifest, _DEFAULTS)) == before
    after = as_text(engine_identity(manifest, _DEFAULTS.model_copy(update=change)))
    assert (after != before) is decides


def test_the_hosts_instructions_and_the_library_are_in_it(tmp_path: Path) -> None:
    manifest = fake_bundle(tmp_path).manifest
    facts = engine_identity(manifest, _DEFAULTS)
    here = host.host_fingerprint()
    assert facts["host"]["cpu_features"] == list(here.cpu_features)
    assert facts["host"]["cpu_model"] == here.cpu_model
    assert facts["versions"]["openvino-genai"] == host.package_version("openvino-genai")


def test_it_travels_as_output_ids() -> None:
    text = '{"cpu":"é"}'.encode()
    ids = description(text)
    infer = pb.ModelInferResponse(raw_output_contents=[ids.tobytes()])
    infer.outputs.add(name="output_ids", datatype="INT32", shape=ids.shape)
    assert decode_described(pb.ModelStreamInferResponse(infer_response=infer)) == text
    assert json.loads(text) == {"cpu": "é"}
    assert read_parameters('{"enginehouse_describe": true}') == Parameters(describe=True)
