"""Builds from a Hugging Face directory: `make test-build` runs them, with the extra [build]."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from enginehouse.build.bundle_writer import build_bundle
from enginehouse.build.default_checkpoint import default_checkpoint
from enginehouse.build.formats import WeightFormat
from enginehouse.build.plan import BuildPlan
from enginehouse.build.proof_set import proof_set
from enginehouse.build.reference_store import ReferenceStore
from enginehouse.engine.openvino import pipeline

from enginehouse.bundle import Bundle
from enginehouse.generation import GenerationRequest
from enginehouse.manifest import EngineSettings
from enginehouse.text import Tokenizer
from tests.greedy import greedy

pytestmark = [
    pytest.mark.build_extra,
    pytest.mark.skipif(
        importlib.util.find_spec("optimum") is None,
        reason="needs the extra [build] (torch and more, 6 GB): run `make test-build`",
    ),
]
_PROMPT = [1, 9690, 198, 2683, 359, 253]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Path:
    """A tiny Llama with random weights and the default model's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("hf")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        bos_token_id=1, eos_token_id=2, pad_token_id=2, tie_word_embeddings=True,
        initializer_range=0.5,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    shutil.copy(bundle.tokenizer_path, path / "tokenizer.json")
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "chat_template": bundle.chat_template,
        "clean_up_tokenization_spaces": False,
    }
    (path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    return path


def _build(checkpoint: Path, home: Path, weight_format: WeightFormat) -> Bundle:
    """Random weights fail the proof: its result is recorded, and the engine is accepted."""
    plan = BuildPlan(
        checkpoint,
        "tiny",
        "openvino",
        home / weight_format,
        weight_format=weight_format,
        settings=EngineSettings(precision_hint="f32"),
        accept_quality="random weights",
        references_dir=home / "references",
    )
    return build_bundle(plan, lambda _: None)


def test_the_proof_computes_its_reference_once(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = _build(checkpoint, tmp_path, WeightFormat.FP16)
    assert exact.manifest.quality is not None
    assert exact.manifest.quality.perplexity_ratio == pytest.approx(1.0, abs=0.02)
    (kept,) = (tmp_path / "references").iterdir()
    assert kept.name.startswith(exact.manifest.checkpoint.sha256[:16])
    monkeypatch.delattr("enginehouse.build.reference_torch.compute_reference")
    int8 = _build(checkpoint, tmp_path, WeightFormat.INT8)
    assert "int8" in int8.manifest.weight_format
    assert int8.manifest.quality is not None
    assert int8.manifest.quality.mean_kl_nats is not None
    assert int8.manifest.size_bytes < exact.manifest.size_bytes


def test_the_shipped_reference_is_what_torch_computes(bundle: Bundle) -> None:
    from enginehouse.build.reference_torch import compute_reference

    proofs = proof_set()
    sha256 = bundle.manifest.checkpoint.sha256
    shipped = ReferenceStore(None).find(sha256, proofs)
    tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
    computed = compute_reference(default_checkpoint(), sha256, proofs, tokenizer)
    assert shipped is not None
    assert computed.tasks_solved == shipped.tasks_solved
    for ours, theirs in zip(computed.texts, shipped.texts, strict=True):
        assert ours.token_ids == theirs.token_ids
        assert ours.log_probs == pytest.approx(theirs.log_probs, abs=0.01)


def test_the_engine_continues_as_torch_does(checkpoint: Path, tmp_path: Path) -> None:
    import torch
    from transformers import LlamaForCausalLM

    built = _build(checkpoint, tmp_path, WeightFormat.FP16)
    built.verify()
    assert built.manifest.checkpoint.kind == "huggingface"
    assert built.manifest.context_length == 512
    model = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    expected = model.generate(
        torch.tensor([_PROMPT]), max_new_tokens=8, do_sample=False, eos_token_id=None
    )[0].tolist()[len(_PROMPT) :]
    engine = pipeline(built.engine_dir, EngineSettings(precision_hint="f32"))
    assert greedy(engine, GenerationRequest(_PROMPT, 8)) == expected
