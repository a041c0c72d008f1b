"""The runtime in a real Triton, over the contract's tensors, with the stand-in as its package."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from enginehouse.engine.json_schema import regex_grammar
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings
from enginehouse.model_repository.repository import ModelRepository
from enginehouse.stack.triton_server import start_triton

from enginehouse.admin_token import ensure_admin_token
from enginehouse.names import TENSORRT_LLM, part
from enginehouse.settings import Settings, load_settings
from enginehouse.triton_control import grpc_metadata, triton_control_secret
from tests.conftest import stack_env, wait_until
from tests.contract.conftest import MakeBundle
from tests.contract.stand_in import write_gpus, write_stand_in
from tests.stack.test_triton_clients import stream, tensor

_MODEL = part("standin", TENSORRT_LLM)


@pytest.fixture
def grpc(tmp_path: Path, make_bundle: MakeBundle) -> Iterator[str]:
    """Address of a Triton that serves a bundle of flavour `pytorch` and nothing else."""
    env = stack_env(tmp_path / "home")
    settings = load_settings(env, cwd=tmp_path)
    bundle = make_bundle(TensorRtLlmSettings())
    repository = ModelRepository(settings.model_repository_dir)
    repository.add_version("standin", 1, bundle, bundle.manifest.engine_settings)
    repository.set_versions("standin", [1])
    # The stub imports from the version's directory first.
    write_stand_in(settings.model_repository_dir / _MODEL / "1", "1.2")
    write_gpus(tmp_path / "bin", 1)
    env["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{env['PATH']}"
    process = start_triton(settings, settings.addresses, "triton", env)
    address = settings.addresses.triton_grpc_url
    try:
        with triton.InferenceServerClient(address) as client:
            wait_until(lambda: _live(client), "Triton")
            client.load_model(_MODEL, headers=_control(settings))
        yield address
    finally:
        process.stop(10.0)


def _control(settings: Settings) -> dict[str, str]:
    return dict(grpc_metadata(triton_control_secret(ensure_admin_token(settings))))


def _live(client: triton.InferenceServerClient) -> bool:
    try:
        return bool(client.is_server_live())
    except triton.InferenceServerException:
        return False


def _inputs(prompt: list[int], tokens: int) -> list[triton.InferInput]:
    return [
        tensor("input_ids", [prompt], "INT32"),
        tensor("input_lengths", [[len(prompt)]], "INT32"),
        tensor("request_output_len", [[tokens]], "INT32"),
        tensor("streaming", [[True]], "BOOL"),
    ]


def _ids(results: list[triton.InferResult]) -> list[int]:
    arrays = [result.as_numpy("output_ids") for result in results]
    return [i for array in arrays if array is not None for i in array.reshape(-1).tolist()]


def test_the_runtime_serves_the_contract_in_triton(grpc: str) -> None:
    results = stream(grpc, _MODEL, _inputs([100, 101], 20))
    assert _ids(results) == list(range(102, 122))
    assert len(results) > 3

    guide = [
        tensor("guided_decoding_guide_type", [[b"regex"]], "BYTES"),
        tensor("guided_decoding_guide", [[b"[0-9]{4}"]], "BYTES"),
    ]
    guided = stream(grpc, _MODEL, [*_inputs([100], 50), *guide])
    # The stand-in answers with the guide that it was given: every kind arrives as a grammar.
    assert regex_grammar("[0-9]{4}").encode().startswith(bytes(_ids(guided)))

    began = time.monotonic()
    stopper = threading.Timer(0.3, _stop, (grpc, "end-me"))
    stopper.start()
    stopped = stream(grpc, _MODEL, _inputs([100], 6000), request_id="end-me")
    stopper.join()
    assert 0 < len(_ids(stopped)) < 6000
    assert time.monotonic() - began < 5

    bias = tensor("embedding_bias", [[0.5, 0.5]], "FP32")
    with pytest.raises(triton.InferenceServerException, match="embedding_bias"):
        stream(grpc, _MODEL, [*_inputs([100], 2), bias])


def _stop(grpc: str, request_id: str) -> None:
    stream(grpc, _MODEL, [*_inputs([1], 1), tensor("stop", [[True]], "BOOL")], request_id)
