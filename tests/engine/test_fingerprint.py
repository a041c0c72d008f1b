from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from enginehouse.engine.fingerprint import (
    Installed,
    check_fingerprint,
    differences,
    memory_needed,
    read_host,
)
from enginehouse.engine.runtimes import load_runtime
from enginehouse.engine.tensorrt_llm_settings import Parallel, TensorRtLlmSettings

from enginehouse.bundle import Bundle
from enginehouse.errors import BundleError, FingerprintError
from enginehouse.host import Gpu
from enginehouse.manifest import MANIFEST_NAME, EngineManifest
from enginehouse.sizes import GIB, estimate, kv_bytes_per_token, parameter_count, weight_bytes


def test_this_host_takes_what_it_built(bundle: Bundle) -> None:
    check_fingerprint(bundle.manifest, bundle.manifest.engine_settings)


def test_every_difference_is_listed_before_anything_is_loaded(
    bundle: Bundle, tmp_path: Path
) -> None:
    settings = bundle.manifest.engine_settings.model_copy(
        update={"kv_cache_gib": 4096, "threads": 5000}
    )
    other = bundle.manifest.model_copy(update={"runtime_version": "2024.1.0.0"})
    (tmp_path / MANIFEST_NAME).write_text(other.model_dump_json())
    with pytest.raises(FingerprintError) as refused:
        load_runtime(Bundle.open(tmp_path), settings)
    text = str(refused.value)
    assert "openvino-genai 2024.1.0.0" in text
    assert "4096 GiB" in text
    assert "5000 threads" in text
    assert text.count("\n  - ") == 3


def _host(**changes: object) -> Installed:
    gpu = Gpu(name="H100", compute_capability="9.0", memory_bytes=80 * GIB)
    installed = replace(
        read_host("openvino"),
        versions={"tensorrt_llm": "1.2.1", "tensorrt": "10.14.1.48"},
        gpus=(gpu,) * 4,
    )
    return replace(installed, **changes)


def _plan(manifest: EngineManifest, **changes: object) -> EngineManifest:
    gpu = Gpu(name="H100", compute_capability="9.0", memory_bytes=80 * GIB)
    return manifest.model_copy(
        update={
            "runtime": "tensorrt_llm",
            "runtime_version": "1.2.1",
            "tool_versions": {"tensorrt": "10.14.1.48"},
            "built_on": manifest.built_on.model_copy(update={"gpus": (gpu,)}),
            "tensorrt_llm": TensorRtLlmSettings(
                flavour="engine", version="1.2", parallel=Parallel(tensor=4)
            ).model_dump(mode="json"),
            **changes,
        }
    )


def test_a_plan_is_bound_to_release_gpu_and_world_size(bundle: Bundle) -> None:
    settings = bundle.manifest.engine_settings
    plan = _plan(bundle.manifest)
    assert differences(plan, settings, _host()) == []
    ada = Gpu(name="L4", compute_capability="8.9", memory_bytes=24 * GIB)
    found = differences(
        plan,
        settings,
        _host(versions={"tensorrt_llm": "1.1.0", "tensorrt": "10.13.3.9"}, gpus=(ada,)),
    )
    words = ("tensorrt_llm 1.2.1", "TensorRT 10.14.1.48", "world size", "compute capability")
    assert len(found) == len(words)
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence


def test_settings_of_a_runtime_that_are_not_understood_are_named(bundle: Bundle) -> None:
    plan = _plan(bundle.manifest, tensorrt_llm={"kv_cache": {"dtype": "int3"}})
    with pytest.raises(BundleError, match=r"'tensorrt_llm\.kv_cache\.dtype': Input should be"):
        differences(plan, bundle.manifest.engine_settings, _host())


def test_a_checkpoint_of_the_llm_api_goes_to_any_gpu_of_its_series(bundle: Bundle) -> None:
    flexible = _plan(
        bundle.manifest,
        tensorrt_llm=TensorRtLlmSettings(flavour="pytorch", version="1.2").model_dump(mode="json"),
        runtime_version="1.2.0",
    )
    ada = Gpu(name="L4", compute_capability="8.9", memory_bytes=24 * GIB)
    assert differences(flexible, bundle.manifest.engine_settings, _host(gpus=(ada,))) == []
    tiny = ada.model_copy(update={"memory_bytes": 2**20})
    (memory,) = differences(flexible, bundle.manifest.engine_settings, _host(gpus=(tiny,)))
    assert "memory" in memory


def test_sizes_are_those_that_the_runtime_was_seen_to_take(bundle: Bundle) -> None:
    a = bundle.manifest.architecture
    assert kv_bytes_per_token(a) == 23040
    assert GIB / (kv_bytes_per_token(a) * 32) == pytest.approx(1456, rel=0.001)
    assert GIB / (kv_bytes_per_token(a, "u8") * 32) == pytest.approx(2452, rel=0.001)
    assert sum(parameter_count(a)) == pytest.approx(134.5e6, rel=0.01)
    on_disk = next(
        f.size_bytes for f in bundle.manifest.files if f.path.endswith("openvino_model.bin")
    )
    assert weight_bytes(a, "fp16") == pytest.approx(on_disk, rel=0.02)
    assert memory_needed(bundle.manifest, bundle.manifest.engine_settings) < 3 * GIB
    sizes = estimate(a, "int4", "u8", GIB, 8192)
    assert sizes.batch_at_context == 9
    assert sizes.batch_at_1k == 76
