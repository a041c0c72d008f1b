"""Builds embedding models from a directory in the layout of sentence-transformers.

The layout, from UKPLab/sentence-transformers: ``modules.json`` lists the steps from text to vector
(a transformer, pooling, and optionally normalisation). The folder of each step contains its
configuration. ``sentence_bert_config.json`` contains the maximum length of a text.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tokenizers
from enginehouse.build.bert_graph import bert_graph
from enginehouse.build.embedding_parity import prove_embeddings
from enginehouse.build.formats import WeightFormat
from enginehouse.build.hf_checkpoint import HfCheckpoint
from enginehouse.build.plan import BuildPlan, Progress
from enginehouse.engine.embedding import MODEL_FILE, PRECISION

from enginehouse import __version__
from enginehouse.bundle import ENGINE_DIR, TOKENIZER_FILE
from enginehouse.contract import EMBEDDING_MAX_BATCH
from enginehouse.errors import BuildError, CheckpointError
from enginehouse.host import host_fingerprint, package_version
from enginehouse.manifest import EmbeddingFacts, EngineManifest, GenerationDefaults, SpecialTokens

FORMATS = (WeightFormat.FP16,)
_MODULES_FILE = "modules.json"
_LIMITS_FILE = "sentence_bert_config.json"
_PROMPTS_FILE = "config_sentence_transformers.json"
#: Pooling by the switch of a pooling configuration; other switches are refused.
_POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
#: Files with the terms of the weights, which must accompany every copy.
_TERMS = ("LICENSE", "NOTICE")


def is_embedding_checkpoint(checkpoint: Path) -> bool:
    """Whether a directory has the layout of sentence-transformers."""
    return (checkpoint / _MODULES_FILE).is_file()


def check_embedding_plan(plan: BuildPlan) -> None:
    """Check that a plan has no options that embedding models do not support.

    Raises:
        BuildError: names the option.
    """
    if plan.runtime != "openvino":
        raise BuildError(
            f"runtime {plan.runtime!r} does not run embedding models: use --runtime openvino"
        )
    if plan.weight_format not in FORMATS:
        raise BuildError(
            f"format {plan.weight_format.value!r} is not one of embedding models: choose "
            f"{', '.join(FORMATS)}"
        )
    if plan.chat_template is not None or plan.adapters:
        raise BuildError(
            "an embedding model has neither chat template nor adapters: leave --chat-template "
            "and adapters out"
        )


def build_embedding(plan: BuildPlan, bundle_dir: Path, progress: Progress) -> EngineManifest:
    """Write the engine, the tokenizer and the proof of quality into `bundle_dir`.

    Returns:
        The manifest without its list of files.

    Raises:
        CheckpointError: if the checkpoint cannot be used, naming file and field.
        ReferenceMissingError, QualityError: see `prove_embeddings`.
    """
    import openvino

    progress(f"reading {plan.checkpoint.name}")
    source = HfCheckpoint(plan.checkpoint)
    facts = embedding_facts(plan.checkpoint, source.config)
    tokenizer = _tokenizer(source)
    special = _special_tokens(tokenizer, source.config)
    (bundle_dir / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")
    for name in _TERMS:
        if (plan.checkpoint / name).is_file():
            shutil.copy(plan.checkpoint / name, bundle_dir / name)
    progress("converting to OpenVINO IR")
    graph = bert_graph(plan.checkpoint, source.config)
    openvino.save_model(graph, bundle_dir / ENGINE_DIR / MODEL_FILE, compress_to_fp16=True)
    draft = _manifest(plan, source, facts, special)
    return prove_embeddings(draft, bundle_dir, plan.accept_quality, progress)


def embedding_facts(checkpoint: Path, config: dict[str, Any]) -> EmbeddingFacts:
    """Read from the checkpoint how a text becomes a vector.

    Args:
        config: content of ``config.json``.

    Raises:
        CheckpointError: names a step or a switch that is not supported.
    """
    steps = _read(checkpoint / _MODULES_FILE)
    kinds = [str(step["type"]).rpartition(".")[2] for step in steps]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise CheckpointError(
            f"{checkpoint / _MODULES_FILE}: the steps are {', '.join(kinds)}; known are "
            "Transformer, Pooling and, at the end, Normalize"
        )
    limits = _read(checkpoint / _LIMITS_FILE)
    most = int(limits.get("max_seq_length") or config["max_position_embeddings"])
    if limits.get("do_lower_case"):
        raise CheckpointError(
            f"{checkpoint / _LIMITS_FILE}: do_lower_case is not supported; a tokenizer.json "
            "lower-cases by its own normalizer"
        )
    if most > int(config["max_position_embeddings"]):
        raise CheckpointError(
            f"{checkpoint / _LIMITS_FILE}: max_seq_length is {most}, and the network has only "
            f"{config['max_position_embeddings']} positions"
        )
    _refuse_prompts(checkpoint / _PROMPTS_FILE)
    return EmbeddingFacts(
        dimensions=int(config["hidden_size"]),
        pooling=_pooling(checkpoint / str(steps[1]["path"]) / "config.json"),
        normalise="Normalize" in kinds,
        max_tokens=most,
    )


def _pooling(file: Path) -> Any:
    """The only pooling that is switched on; with two, their vectors would be concatenated."""
    switches = _read(file)
    on = [name for name, value in switches.items() if name.startswith("pooling_mode") and value]
    if len(on) != 1 or on[0] not in _POOLING:
        raise CheckpointError(
            f"{file}: pooling is {', '.join(on) or 'not stated'}; known is one of "
            f"{', '.join(_POOLING)}"
        )
    return _POOLING[on[0]]


def _refuse_prompts(file: Path) -> None:
    """Refuse a default prompt: the reference puts it before every text, the engine does not."""
    prompt = _read(file).get("default_prompt_name") if file.is_file() else None
    if prompt is not None:
        raise CheckpointError(
            f"{file}: default_prompt_name is {prompt!r}; models that put a prompt before every "
            "text are not supported"
        )


def _tokenizer(source: HfCheckpoint) -> tokenizers.Tokenizer:
    """The checkpoint's tokenizer without truncation and padding.

    Many tokenizers contain those of their training (128 tokens, always). The engine refuses texts
    that are too long, and pads by itself.
    """
    tokenizer: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(source.tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    size, known = tokenizer.get_vocab_size(), source.architecture.vocabulary_size
    if size > known:
        raise CheckpointError(
            f"{source.path / 'tokenizer.json'}: {size} tokens, and the network has {known}"
        )
    return tokenizer


def _special_tokens(tokenizer: tokenizers.Tokenizer, config: dict[str, Any]) -> SpecialTokens:
    """The special tokens that the tokenizer adds: one before a text and one after it."""
    around = tokenizer.encode("").ids
    if len(around) != 2:  # noqa: PLR2004 - [CLS] and [SEP]
        raise CheckpointError(
            f"the tokenizer puts {len(around)} special tokens around a text; a BERT's puts 2: "
            "save the tokenizer with its post-processor"
        )
    return SpecialTokens(
        bos_id=around[0],
        end_ids=(around[1],),
        pad_id=int(config.get("pad_token_id") or 0),
        add_bos=True,
    )


def _manifest(
    plan: BuildPlan, source: HfCheckpoint, facts: EmbeddingFacts, special: SpecialTokens
) -> EngineManifest:
    settings = {"max_batch": EMBEDDING_MAX_BATCH, "precision_hint": PRECISION}
    tools = ("openvino", "tokenizers", "safetensors")
    checkpoint = source.describe()
    return EngineManifest(
        model_name=plan.name,
        runtime=plan.runtime,
        runtime_version=package_version("openvino"),
        built_at=datetime.now(UTC),
        built_on=host_fingerprint(with_gpus=True),
        architecture=source.architecture,
        format=plan.weight_format,
        weight_format="fp16",
        context_length=facts.max_tokens,
        max_batch=EMBEDDING_MAX_BATCH,
        special_tokens=special,
        generation_defaults=GenerationDefaults(),
        engine_settings=plan.settings.model_copy(update=settings),
        embedding=facts,
        checkpoint=checkpoint.model_copy(
            update={"license": checkpoint.license or _stated_licence(plan.checkpoint / "NOTICE")}
        ),
        build_arguments={
            "checkpoint": plan.checkpoint.name,
            "runtime": plan.runtime,
            "format": plan.weight_format,
        },
        tool_versions={
            "enginehouse": __version__,
            **{tool: package_version(tool) for tool in tools},
        },
        tokenizer_check={},
        files=(),
    )


def _stated_licence(notice: Path) -> str | None:
    """The licence from the line ``License: …`` of a notice, for weights without a model card."""
    if not notice.is_file():
        return None
    lines = notice.read_text(encoding="utf-8", errors="replace").splitlines()
    stated = (line.partition(":")[2].strip() for line in lines if line.startswith("License:"))
    return next(stated, None)


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{file}: not valid JSON: {error}") from error
