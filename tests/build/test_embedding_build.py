"""Building embedding models: from the packaged checkpoint, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from enginehouse.build.bundle_writer import build_bundle
from enginehouse.build.default_checkpoint import EMBEDDING_MODEL, resolve_checkpoint
from enginehouse.build.embedding_parity import prove_embeddings
from enginehouse.build.formats import WeightFormat
from enginehouse.build.plan import BuildPlan

from enginehouse.bundle import Bundle
from enginehouse.digests import sha256_tree
from enginehouse.errors import (
    BuildError,
    CheckpointError,
    QualityError,
    ReferenceMissingError,
)

_PACKAGED = resolve_checkpoint(Path(EMBEDDING_MODEL))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of the packaged checkpoint that may be changed."""
    return Path(shutil.copytree(_PACKAGED, tmp_path / "checkpoint"))


def _plan(checkpoint: Path, tmp_path: Path, **options: Any) -> BuildPlan:
    return BuildPlan(checkpoint, "tiny", "openvino", tmp_path / "out" / "bundle", **options)


def _edit(file: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_the_command_line_builds_a_proven_bundle(embedding_bundle: Bundle) -> None:
    embedding_bundle.verify()
    manifest = embedding_bundle.manifest
    assert manifest.kind == "embedding"
    assert manifest.embedding is not None
    assert manifest.embedding.model_dump() == {
        "dimensions": 384, "pooling": "mean", "normalise": True, "max_tokens": 256,
    }  # fmt: skip
    assert manifest.checkpoint.sha256 == sha256_tree(_PACKAGED)
    assert manifest.checkpoint.license == "Apache-2.0"
    assert (embedding_bundle.path / "LICENSE").is_file()
    report = json.loads((embedding_bundle.path / "reports" / "parity.json").read_text())
    assert report["status"] == "passed"
    assert report["measurements"]["texts"] == 16
    assert report["measurements"]["max_abs_difference"] <= report["threshold"] == 1e-3
    assert report["reference"]["sentence-transformers"]
    assert "Apache-2.0" in embedding_bundle.card


def test_the_tokenizer_neither_cuts_nor_pads(embedding_bundle: Bundle) -> None:
    """The checkpoint's own cuts at 128 tokens and pads to 128."""
    tokenizer = json.loads(embedding_bundle.tokenizer_path.read_text())
    assert (tokenizer["truncation"], tokenizer["padding"]) == (None, None)


def test_past_the_threshold_only_a_reason_helps(embedding_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(embedding_bundle.path, tmp_path / "copy"))
    manifest = embedding_bundle.manifest
    assert manifest.embedding is not None
    wrong = manifest.embedding.model_copy(update={"pooling": "cls"})
    draft = manifest.model_copy(update={"embedding": wrong})
    with pytest.raises(QualityError, match=r"more than 0\.001"):
        prove_embeddings(draft, copy, None, lambda _: None)
    accepted = prove_embeddings(draft, copy, "a test", lambda _: None).quality
    assert accepted is not None
    assert (accepted.status, accepted.accepted_reason) == ("accepted", "a test")


def test_without_a_reference_only_a_reason_helps(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "notes.txt").write_text("another digest")
    with pytest.raises(ReferenceMissingError, match="accept-quality"):
        build_bundle(_plan(checkpoint, tmp_path), lambda _: None)
    plan = _plan(checkpoint, tmp_path, accept_quality="a test")
    bundle = build_bundle(plan, lambda _: None)
    assert bundle.manifest.quality is not None
    assert bundle.manifest.quality.status == "not_measured"
    assert "Not measured: a test" in bundle.card


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("modules.json", lambda c: c.append({"type": "x.Dense", "path": ""}), "Dense"),
        (
            "1_Pooling/config.json",
            lambda c: c.update(pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True),
            "pooling_mode_max_tokens",
        ),
        ("1_Pooling/config.json", lambda c: c.update(pooling_mode_cls_token=True), "cls_token, "),
        ("config.json", lambda c: c.update(model_type="mpnet"), "model_type is 'mpnet'"),
        ("config.json", lambda c: c.update(hidden_act="relu"), "hidden_act is 'relu'"),
        ("config.json", lambda c: c.update(num_hidden_layers=7), r"encoder\.layer\.6"),
        ("config.json", lambda c: c.update(vocab_size=30), "30522 tokens, and the network has 30"),
        ("sentence_bert_config.json", lambda c: c.update(max_seq_length=513), "513"),
        ("sentence_bert_config.json", lambda c: c.update(do_lower_case=True), "do_lower_case"),
        (
            "config_sentence_transformers.json",
            lambda c: c.update(default_prompt_name="query"),
            "default_prompt_name is 'query'",
        ),
    ],
)
def test_what_would_give_wrong_vectors_is_refused_by_name(
    file: str, change: Callable[[Any], None], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    _edit(checkpoint / file, change)
    with pytest.raises(CheckpointError, match=message):
        build_bundle(_plan(checkpoint, tmp_path), lambda _: None)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_format": WeightFormat.INT8}, "'int8' is not one of embedding models"),
        ({"chat_template": Path("x")}, "--chat-template"),
    ],
)
def test_options_of_text_generators_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BuildError, match=message):
        build_bundle(_plan(_PACKAGED, tmp_path, **options), lambda _: None)


def test_a_name_that_is_nothing_names_the_packaged_checkpoints(tmp_path: Path) -> None:
    assert resolve_checkpoint(tmp_path) == tmp_path
    assert resolve_checkpoint(Path("smollm2")).suffix == ".gguf"
    with pytest.raises(CheckpointError, match="smollm2, all-minilm-l6-v2"):
        resolve_checkpoint(Path("no-such-thing"))
