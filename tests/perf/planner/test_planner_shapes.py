"""Models, GPUs and what goes together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from enginehouse.perf.planner import model as model_module
from enginehouse.perf.planner.deployment import PRECISIONS, deploy, precisions_of
from enginehouse.perf.planner.gpu import find_gpu, gpus
from enginehouse.perf.planner.model import ModelShape, catalogue, read_model

from enginehouse.errors import CheckpointError, SettingsError
from enginehouse.manifest import Architecture
from enginehouse.sizes import weight_bytes
from tests.fake_bundle import fake_bundle

_LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
_PUBLISHED = {
    name: entry["published_parameters"]
    for name, entry in yaml.safe_load(
        Path(model_module.__file__).with_name("models.yaml").read_text(encoding="utf-8")
    ).items()
}


def _config(directory: Path, **changes: Any) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps(_LLAMA_8B | changes))
    return path


@pytest.mark.parametrize("name", sorted(_PUBLISHED))
def test_parameters_that_follow_from_a_shape_are_those_that_its_authors_publish(name: str) -> None:
    # Norms and biases are left out: a few hundredths of a per cent.
    assert catalogue()[name].parameters == pytest.approx(_PUBLISHED[name], rel=5e-4)


def test_a_token_passes_through_two_of_mixtrals_eight_experts() -> None:
    mixtral = catalogue()["mixtral-8x7b"]
    assert mixtral.parameters == pytest.approx(46.7e9, rel=1e-3)
    assert mixtral.active_parameters == pytest.approx(12.9e9, rel=2e-3)  # mistral.ai's figure
    assert catalogue()["qwen3-30b-a3b"].active_parameters == pytest.approx(3.3e9, rel=0.02)
    assert catalogue()["qwen3-235b-a22b"].active_parameters == pytest.approx(22e9, rel=0.02)


def test_a_config_json_gives_the_catalogues_shape(tmp_path: Path) -> None:
    expected = catalogue()["llama-3.1-8b"].architecture
    assert read_model(str(_config(tmp_path))).architecture == expected
    assert read_model(str(tmp_path)).name == tmp_path.name


def test_a_mixtures_config_gives_its_experts_and_their_width(tmp_path: Path) -> None:
    path = _config(tmp_path, num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768)
    shape = read_model(str(path))
    assert (shape.experts, shape.experts_per_token) == (128, 8)
    assert shape.architecture.intermediate_size == 768


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kv_lora_rank": 512}, "'kv_lora_rank' is 512"),
        ({"n_routed_experts": 64}, "'n_routed_experts' is 64"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "linear_attention"),
        ({"num_local_experts": 8}, "'num_experts_per_tok' is None"),
        ({"num_local_experts": 8, "num_experts_per_tok": 9}, "'num_experts_per_tok' is 9"),
    ],
)
def test_what_the_formulas_do_not_cover_is_refused_by_its_field(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(CheckpointError, match=named):
        read_model(str(_config(tmp_path, **changes)))


def test_a_bundle_gives_its_manifests_shape(tmp_path: Path) -> None:
    bundle = fake_bundle(tmp_path)
    shape = read_model(str(tmp_path))
    assert shape == ModelShape("smollm2", bundle.manifest.architecture)
    assert read_model(str(tmp_path / "engine.json")) == shape


def test_a_bundle_of_a_mixture_sends_to_the_config(tmp_path: Path) -> None:
    dense = fake_bundle(tmp_path).manifest.architecture
    fake_bundle(tmp_path, architecture=dense.model_copy(update={"experts": 8}))
    with pytest.raises(CheckpointError, match=r"'architecture.experts' is 8.*config.json"):
        read_model(str(tmp_path))


def test_an_unknown_model_is_refused_with_the_catalogue(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'gpt-9' .*llama-3.1-8b"):
        read_model("gpt-9")
    with pytest.raises(SettingsError, match=r"neither in the catalogue"):
        read_model(str(tmp_path))


def test_gpus_are_found_in_any_case_and_refused_with_those_there_are() -> None:
    assert find_gpu("h100-sxm") is gpus()["H100-SXM"]
    with pytest.raises(SettingsError, match=r"gpu 'H100' .* A100-80GB, H100-SXM"):
        find_gpu("H100")


def test_peaks_are_dense_and_halve_with_each_doubling_of_bits() -> None:
    for gpu in gpus().values():
        for wide, narrow in (("bf16", "fp8"), ("bf16", "int8"), ("fp8", "fp4")):
            if {wide, narrow} <= gpu.flops_per_s.keys():
                ratio = gpu.flops_per_s[narrow] / gpu.flops_per_s[wide]
                assert ratio == pytest.approx(2, rel=0.02), (gpu.name, narrow)
    assert gpus()["H100-SXM"].flops_per_s["bf16"] == 989.4e12


def test_every_precision_is_one_whose_size_is_known() -> None:
    architecture = catalogue()["llama-3.1-8b"].architecture
    for precision in PRECISIONS:
        assert weight_bytes(architecture, precision) > 0


def test_parts_of_the_weights_add_up_to_the_whole() -> None:
    for shape in catalogue().values():
        tied = shape.architecture.tied_embeddings
        for precision in PRECISIONS:
            embeddings = shape.output_bytes(precision) * (1 if tied else 2)
            whole = shape.layer_bytes(precision, shape.experts) + embeddings
            assert whole == pytest.approx(weight_bytes(shape.architecture, precision), rel=1e-9)


def test_kv_cache_follows_the_weights_unless_it_is_asked_for() -> None:
    model, gpu = catalogue()["llama-3.1-8b"], gpus()["H100-SXM"]
    assert deploy(model, gpu, "bf16").kv_precision == "bf16"
    assert deploy(model, gpu, "fp8").kv_precision == "fp8"
    assert deploy(model, gpu, "fp8", "bf16").kv_precision == "bf16"


@pytest.mark.parametrize(
    ("gpu", "precision", "kv_precision", "ways", "sentence"),
    [
        ("A100-80GB", "fp8", "auto", 1, "precision is 'fp8', and A100-80GB has no fp8"),
        ("H200", "nvfp4", "auto", 1, "precision is 'nvfp4', and H200 has no fp4"),
        ("H200", "int3", "auto", 1, "precision is 'int3'; choose one of bf16"),
        ("A100-80GB", "bf16", "fp8", 1, "kv_precision is 'fp8', which A100-80GB lacks"),
        ("H200", "bf16", "int3", 1, "kv_precision is 'int3'; choose one of auto"),
        ("H200", "bf16", "auto", 0, "tensor_parallel is 0"),
        ("H200", "bf16", "auto", 16, "tensor_parallel is 16; a server of H200 joins 1 to 8"),
        ("H200", "bf16", "auto", 3, "must share evenly; choose 1, 2, 4, 8"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_with_what_does(
    gpu: str, precision: str, kv_precision: str, ways: int, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        deploy(catalogue()["llama-3.1-8b"], gpus()[gpu], precision, kv_precision, ways)


def test_kv_heads_are_repeated_where_there_are_fewer_than_gpus() -> None:
    few = Architecture(
        family="llama",
        layers=1,
        hidden_size=8,
        attention_heads=8,
        kv_heads=2,
        head_size=1,
        vocabulary_size=2,
    )
    assert deploy(ModelShape("few", few), gpus()["H200"], tensor_parallel=8).kv_shards == 2


def test_only_blackwell_multiplies_in_four_bits() -> None:
    assert [name for name, gpu in gpus().items() if "nvfp4" in precisions_of(gpu)] == ["B200"]
