"""The model repository renders NVIDIA's C++ backend when a manifest asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings
from enginehouse.model_repository import config
from enginehouse.model_repository.repository import ModelRepository
from enginehouse.model_repository.tensorrtllm_backend_config import backend_parameters

from enginehouse.errors import BundleError
from tests.contract.conftest import MakeBundle


def _settings(**changed: object) -> TensorRtLlmSettings:
    given = {"flavour": "engine", "backend": "tensorrtllm", **changed}
    return TensorRtLlmSettings.model_validate(given)


def test_a_manifest_chooses_the_c_plus_plus_backend(
    tmp_path: Path, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle(_settings(limits={"max_batch_size": 16}, parallel={"tensor": 2}))
    repository = ModelRepository(tmp_path / "repository")
    repository.add_version("m", 3, bundle, bundle.manifest.engine_settings)
    repository.set_versions("m", [3])
    directory = tmp_path / "repository" / "m.tensorrt_llm"
    message = config.parse((directory / "config.pbtxt").read_text())
    assert message.backend == "tensorrtllm"
    assert message.max_batch_size == 16
    assert list(message.version_policy.specific.versions) == [3]
    assert message.dynamic_batching.default_queue_policy.max_queue_size == 128
    engine = message.parameters["gpt_model_path"].string_value
    assert Path(engine).samefile(bundle.engine_dir)
    assert message.parameters["gpu_device_ids"].string_value == "0,1"
    ours = config.engine_config("m", [3])
    assert [t.name for t in message.input] == [t.name for t in ours.input]
    repository.add_version("m", 4, bundle, bundle.manifest.engine_settings)
    with pytest.raises(BundleError, match="has one engine a model"):
        repository.set_versions("m", [3, 4])


def test_settings_become_parameters() -> None:
    found = backend_parameters(
        _settings(
            scheduler={"capacity_policy": "MAX_UTILIZATION", "chunked_context": False},
            kv_cache={"max_attention_window": [512, 1024], "host_cache_bytes": 99},
            speculative={
                "kind": "medusa",
                "model": "/h",
                "choices": [[0], [0, 1]],
            },
            serving={"gpu_device_ids": [[0, 1], [2, 3]], "participant_ids": [[1, 2], [3, 4]]},
            lora={"adapters": [{"name": "sql", "path": "/sql"}], "max_rank": 4},
        ),
        "/engine",
    )
    assert found["batch_scheduler_policy"] == "max_utilization"
    assert found["enable_chunked_context"] == "false"
    assert found["max_attention_window_size"] == "512,1024"
    assert found["kv_cache_host_memory_bytes"] == "99"
    assert (found["decoding_mode"], found["medusa_choices"]) == ("medusa", "{0}, {0, 1}")
    assert found["gpu_device_ids"] == "0,1;2,3"
    assert found["participant_ids"] == "1,2;3,4"
    assert found["lora_cache_max_adapter_size"] == found["lora_cache_optimal_adapter_size"] == "4"
    assert found["xgrammar_tokenizer_info_path"] == "/engine/xgrammar_tokenizer_info.json"
