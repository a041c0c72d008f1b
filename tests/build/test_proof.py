"""Formats and their proofs on the default model; damage that a proof must find."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from enginehouse.build.default_checkpoint import default_checkpoint
from enginehouse.build.formats import THRESHOLDS, WeightFormat
from enginehouse.build.parity import failures, measure
from enginehouse.build.parity_report import (
    GreedyAgreement,
    KlDivergence,
    Measurements,
    ParityReport,
    Perplexity,
    TaskScore,
)
from enginehouse.build.proof_set import proof_set
from enginehouse.build.reference_store import ReferenceStore
from enginehouse.engine.runtime import SlotState
from enginehouse.engine.runtimes import load_runtime

from enginehouse.bundle import Bundle, describe_files
from enginehouse.errors import ReferenceMissingError
from enginehouse.generation import GenerationRequest
from enginehouse.manifest import MANIFEST_NAME
from enginehouse.text import Tokenizer
from tests.conftest import run_cli, stack_env
from tests.engine.adapters import write_adapter


@pytest.fixture(scope="module", params=["int4"])
def compressed(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    home = tmp_path_factory.mktemp(request.param)
    (home / "cards").mkdir()
    (home / "cards" / "small.md").write_text("## Training data\n\nSmolTalk, says its author.\n")
    done = run_cli(
        stack_env(home), "build", default_checkpoint(), "--name", "small",
        "--format", request.param, "--lora", f"loud={write_adapter(home / 'loud')}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Bundle.open(home / "bundles" / "small")


def _report(bundle: Bundle) -> ParityReport:
    return ParityReport.model_validate_json((bundle.path / "reports/parity.json").read_bytes())


@pytest.mark.slow(reason="a build of the whole model in int4, with its proof")
def test_a_compressed_bundle_is_proven_and_answers(compressed: Bundle, bundle: Bundle) -> None:
    compressed.verify()
    report = _report(compressed)
    assert report.status == "passed"
    assert report.measurements is not None
    assert report.measurements.perplexity is not None
    assert report.measurements.perplexity.positions > 1000
    assert report.measurements.kl_divergence.positions > 400
    assert compressed.manifest.size_bytes < 0.55 * bundle.manifest.size_bytes
    assert "SmolTalk" in compressed.card
    assert [(a.name, a.rank, a.scale) for a in compressed.manifest.adapters] == [("loud", 4, 2.0)]
    tokenizer = Tokenizer.from_file(compressed.tokenizer_path)
    runtime = load_runtime(compressed, compressed.manifest.engine_settings)
    prompt = tokenizer.encode("Question: What is the capital of France?\nAnswer:")
    slot = runtime.admit(GenerationRequest(prompt, max_tokens=12), ())
    ids: list[int] = []
    state = SlotState.RUNNING
    while state is SlotState.RUNNING:
        runtime.step()
        drained = slot.drain()
        ids.extend(drained.token_ids)
        state = drained.state
    assert "Paris" in tokenizer.decode(ids)


def test_the_default_bundle_is_within_the_thresholds_of_fp16(bundle: Bundle) -> None:
    report = _report(bundle)
    assert report.status == "passed"
    assert report.thresholds == THRESHOLDS[WeightFormat.FP16]
    assert report.reference["precision"] == "float32"
    speed = json.loads((bundle.path / "reports/speed.json").read_bytes())
    assert speed["tokens_per_second_16"] > speed["tokens_per_second_1"] > 0


def _scale_weights(engine_dir: Path) -> None:
    xml = engine_dir / "openvino_model.xml"
    model = openvino.Core().read_model(xml)
    scaled = 0
    for op in model.get_ops():
        if op.get_type_name() == "Constant" and "layers" in op.get_friendly_name():
            shape = op.get_output_shape(0)
            if len(shape) == 2 and min(shape) > 1:
                values = (op.data.astype(np.float32) * 1.1).astype(op.data.dtype)
                for target in op.output(0).get_target_inputs():
                    target.replace_source_output(openvino.op.Constant(values).output(0))
                scaled += 1
    assert scaled > 100
    scratch = xml.with_name("scaled.xml")
    openvino.save_model(model, scratch)
    del model
    for suffix in (".xml", ".bin"):
        scratch.with_suffix(suffix).replace(xml.with_suffix(suffix))


def _swap_tokens(tokenizer: Path) -> None:
    definition = json.loads(tokenizer.read_text())
    vocabulary = definition["model"]["vocab"]
    first, second = "Ġthe", "Ġof"
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    tokenizer.write_text(json.dumps(definition))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        pytest.param(
            *("scaled", "perplexity ratio"),
            marks=pytest.mark.slow(reason="the whole proof of the whole model once more"),
        ),
        pytest.param(
            *("tokenizer", "tokenizer gives other ids"),
            marks=pytest.mark.slow(reason="the whole proof of the whole model once more"),
        ),
    ],
)
def test_a_damaged_bundle_with_a_matching_manifest_is_refused(
    bundle: Bundle, tmp_path: Path, damage: str, found: str
) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    if damage == "scaled":
        _scale_weights(copy / "engine")
    else:
        _swap_tokens(copy / "tokenizer.json")
    forged = bundle.manifest.model_copy(update={"files": describe_files(copy)})
    (copy / MANIFEST_NAME).write_text(forged.model_dump_json())
    Bundle.open(copy).verify()
    done = run_cli(stack_env(tmp_path), "prove", copy)
    assert done.returncode == 1
    assert found in " ".join(done.stderr.split())


def test_a_tokenizer_that_gives_other_ids_is_found(bundle: Bundle, tmp_path: Path) -> None:
    swapped = Path(shutil.copy(bundle.tokenizer_path, tmp_path))
    _swap_tokens(swapped)
    reference = ReferenceStore(None).find(bundle.manifest.checkpoint.sha256, proof_set())
    assert reference is not None
    answers = {c.prompt_ids: list(c.generated_ids) for c in reference.tasks + reference.greedy}
    for tokenizer, complaints in ((bundle.tokenizer_path, ()), (swapped, ("gives other ids",))):
        measured = measure(
            reference,
            proof_set(),
            Tokenizer.from_file(tokenizer),
            "not asked",
            lambda prompts, _: [answers[tuple(ids)] for ids in prompts],
        )
        found = [f for f in failures(measured, THRESHOLDS[WeightFormat.FP16]) if "ids" in f]
        assert len(found) == len(complaints)
        assert all(word in text for word, text in zip(complaints, found, strict=True))


def test_an_unknown_checkpoint_without_torch_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundle: Bundle
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    store = ReferenceStore(tmp_path)
    with pytest.raises(ReferenceMissingError, match=r"enginehouse\[build\]"):
        store.find_or_compute(
            tmp_path, "0" * 64, proof_set(), Tokenizer.from_file(bundle.tokenizer_path)
        )


def test_an_unproven_bundle_records_whose_word_it_is(
    unknown_checkpoint: Path, tmp_path: Path
) -> None:
    env = stack_env(tmp_path) | {"PYTHONNOUSERSITE": "1"}
    done = run_cli(
        env, "build", unknown_checkpoint, "--name", "m", "--accept-quality", "a test without torch"
    )
    assert done.returncode == 0, done.stderr
    built = Bundle.open(tmp_path / "bundles" / "m")
    assert built.manifest.quality is not None
    assert built.manifest.quality.accepted_reason in ("a test without torch", None)
    assert "a test without torch" in built.card or built.manifest.quality.status == "passed"


def _measurements(**changes: Any) -> Measurements:
    values: dict[str, Any] = {
        "tokenizer_differs_on": 0,
        "perplexity": Perplexity(reference=20, engine=20, ratio=1.0, positions=10),
        "kl_divergence": KlDivergence(mean_nats=0.001, positions=4),
        "greedy": GreedyAgreement(
            prompts=1, identical=1, first_divergence=(None,), equal_tokens_share=1.0
        ),
        "tasks": TaskScore(total=4, reference_solved=4, engine_solved=4, lost=()),
    }
    return Measurements(**(values | changes))


def test_each_threshold_is_held_by_itself() -> None:
    allowed = THRESHOLDS[WeightFormat.FP16]
    assert failures(_measurements(), allowed) == ()
    bad: list[tuple[dict[str, Any], str]] = [
        ({"tokenizer_differs_on": 1}, "tokenizer"),
        (
            {"perplexity": Perplexity(reference=20, engine=21, ratio=1.05, positions=10)},
            "perplexity",
        ),
        (
            {"perplexity": Perplexity(reference=20, engine=1, ratio=float("nan"), positions=1)},
            "perplexity",
        ),
        ({"kl_divergence": KlDivergence(mean_nats=0.5, positions=4)}, "KL"),
        (
            {
                "greedy": GreedyAgreement(
                    prompts=1, identical=0, first_divergence=(0,), equal_tokens_share=0.0
                )
            },
            "greedy",
        ),
        (
            {"tasks": TaskScore(total=4, reference_solved=4, engine_solved=2, lost=("a", "b"))},
            "tasks",
        ),
    ]
    for change, word in bad:
        (sentence,) = failures(_measurements(**change), allowed)
        assert word in sentence
