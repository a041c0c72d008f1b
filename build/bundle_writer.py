"""Builds a bundle in a scratch directory and renames it into place when it is complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from enginehouse.build.card import model_card
from enginehouse.build.embedding import (
    build_embedding,
    check_embedding_plan,
    is_embedding_checkpoint,
)
from enginehouse.build.embedding_card import embedding_card
from enginehouse.build.lora import take_adapter
from enginehouse.build.parity_report import PARITY_FILE, write_report
from enginehouse.build.plan import Builder, BuildPlan, BuiltEngine, Progress
from enginehouse.build.proof import loaded, prove, unmeasured
from enginehouse.build.proof_set import proof_set
from enginehouse.build.reference_store import ReferenceStore
from enginehouse.build.runtimes import builder_for
from enginehouse.build.speed import SPEED_FILE, measure_speed, read_speed
from enginehouse.build.tokenizer_check import check_tokenizer, corpus

from enginehouse import __version__
from enginehouse.bundle import (
    CARD_FILE,
    CHAT_TEMPLATE_FILE,
    ENGINE_DIR,
    TOKENIZER_FILE,
    Bundle,
    describe_files,
)
from enginehouse.errors import BuildError, CheckpointError, ReferenceMissingError
from enginehouse.host import host_fingerprint
from enginehouse.manifest import MANIFEST_NAME, EngineManifest
from enginehouse.names import check_model_name
from enginehouse.text import ChatTemplate, Tokenizer


def build_bundle(plan: BuildPlan, progress: Progress) -> Bundle:
    """Build an engine bundle.

    The bundle appears at ``plan.output`` in one rename. A build that is killed leaves only a
    scratch directory beside it, whose name starts with a dot. The next build removes it.

    Raises:
        NameRefusedError, CheckpointError, BuildError: nothing is then left at ``plan.output``.
    """
    check_model_name(plan.name)
    builder = builder_for(plan.runtime)
    if not plan.checkpoint.exists():
        raise CheckpointError(
            f"{plan.checkpoint}: no such checkpoint; give a GGUF file or a directory"
        )
    embedding = is_embedding_checkpoint(plan.checkpoint)
    if embedding:
        check_embedding_plan(plan)
    elif plan.weight_format not in builder.formats:
        raise BuildError(
            f"format {plan.weight_format.value!r} is not one of runtime {plan.runtime!r}: choose "
            f"one of {', '.join(builder.formats)}"
        )
    if plan.output.exists():
        raise BuildError(f"{plan.output} exists already; choose another --output or remove it")
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale_scratch(plan.output.parent)
    _check_space(plan.output.parent, builder.estimate_bytes(plan.checkpoint))
    scratch = Path(tempfile.mkdtemp(prefix=f".building-{os.getpid()}-", dir=plan.output.parent))
    try:
        bundle_dir = scratch / "bundle"
        (bundle_dir / ENGINE_DIR).mkdir(parents=True)
        if embedding:
            draft = build_embedding(plan, bundle_dir, progress)
        else:
            draft = _build_generator(plan, builder, bundle_dir, progress)
        progress("hashing files")
        _write_card_and_manifest(plan, draft, bundle_dir)
        bundle_dir.rename(plan.output)
    except OSError as error:
        raise BuildError(f"the build could not write: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Bundle.open(plan.output)


def _build_generator(
    plan: BuildPlan, builder: Builder, bundle_dir: Path, progress: Progress
) -> EngineManifest:
    """Build engine, text assets and proof of a text generator; see also `build_embedding`."""
    built = builder.build(plan, bundle_dir / ENGINE_DIR, bundle_dir.parent, progress)
    _write_text_assets(built, bundle_dir)
    progress("checking the tokenizer against the engine")
    checked = _check_text(built, bundle_dir)
    adapters = tuple(
        take_adapter(name, source, bundle_dir / ENGINE_DIR, built.architecture)
        for name, source in plan.adapters.items()
    )
    draft = _draft(plan, built, checked).model_copy(update={"adapters": adapters})
    return _prove(plan, built, draft, bundle_dir, progress)


def _remove_stale_scratch(parent: Path) -> None:
    """Remove scratch directories of builds whose process has ended."""
    for path in parent.glob(".building-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)


def _check_space(where: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(where).free
    if free < needed_bytes:
        raise BuildError(
            f"not enough disk space under {where}: the build needs about "
            f"{needed_bytes / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free"
        )


def _write_text_assets(built: BuiltEngine, bundle_dir: Path) -> None:
    (bundle_dir / TOKENIZER_FILE).write_text(built.tokenizer, encoding="utf-8")
    (bundle_dir / CHAT_TEMPLATE_FILE).write_text(built.chat_template, encoding="utf-8")


def _check_text(built: BuiltEngine, bundle_dir: Path) -> dict[str, int]:
    """Check that the tokenizer gives the engine's ids, and that the template renders."""
    tokenizer = Tokenizer.from_file(bundle_dir / TOKENIZER_FILE)
    template = ChatTemplate(built.chat_template, tokenizer)
    template.encode([{"role": "user", "content": "Hello"}])
    return check_tokenizer(tokenizer, built.engine_encode, corpus())


def _prove(
    plan: BuildPlan,
    built: BuiltEngine,
    draft: EngineManifest,
    bundle_dir: Path,
    progress: Progress,
) -> EngineManifest:
    """Measure quality and speed, and write the reports; return the manifest with a summary.

    The engine is loaded from the unfinished bundle, for which a preliminary manifest is written.
    """
    proofs = proof_set()
    tokenizer = Tokenizer(built.tokenizer)
    try:
        progress("looking for the reference result (torch computes it once for a checkpoint)")
        reference = ReferenceStore(plan.references_dir).find_or_compute(
            plan.checkpoint, built.checkpoint.sha256, proofs, tokenizer
        )
    except ReferenceMissingError:
        if plan.accept_quality is None:
            raise
        report = unmeasured(draft, plan.accept_quality)
        write_report(bundle_dir / PARITY_FILE, report)
        return draft.model_copy(update={"quality": report.summary})
    (bundle_dir / MANIFEST_NAME).write_text(draft.model_dump_json(), encoding="utf-8")
    bundle = Bundle.open(bundle_dir)
    with loaded(bundle) as runtime:
        report = prove(bundle, runtime, reference, plan.accept_quality, progress)
        progress("measuring speed")
        speed = measure_speed(runtime, tokenizer)
    write_report(bundle_dir / PARITY_FILE, report)
    write_report(bundle_dir / SPEED_FILE, speed)
    return draft.model_copy(update={"quality": report.summary})


def _draft(plan: BuildPlan, built: BuiltEngine, checked: dict[str, int]) -> EngineManifest:
    return EngineManifest(
        model_name=plan.name,
        runtime=plan.runtime,
        runtime_version=built.runtime_version,
        built_at=datetime.now(UTC),
        built_on=host_fingerprint(with_gpus=True),
        architecture=built.architecture,
        format=plan.weight_format,
        weight_format=built.weight_format,
        context_length=built.context_length,
        max_batch=plan.settings.max_batch,
        special_tokens=built.special_tokens,
        generation_defaults=built.generation_defaults,
        engine_settings=plan.settings,
        tensorrt_llm=None
        if built.tensorrt_llm is None
        else built.tensorrt_llm.model_dump(mode="json"),
        checkpoint=built.checkpoint,
        build_arguments={
            "checkpoint": plan.checkpoint.name,
            "runtime": plan.runtime,
            "format": plan.weight_format,
            "chat_template": plan.chat_template.name if plan.chat_template else "checkpoint",
        },
        tool_versions={"enginehouse": __version__, **built.tool_versions},
        tokenizer_check=checked,
        files=(),
    )


def _write_card_and_manifest(plan: BuildPlan, draft: EngineManifest, bundle_dir: Path) -> None:
    """Write the card, which needs the manifest, and then the manifest, which lists the card."""
    notes = None if plan.card_notes is None else plan.card_notes.read_text(encoding="utf-8")
    if draft.embedding is None:
        card = model_card(draft, read_speed(bundle_dir), notes)
    else:
        card = embedding_card(draft, draft.embedding, notes)
    (bundle_dir / CARD_FILE).write_text(card, encoding="utf-8")
    whole = draft.model_copy(update={"files": describe_files(bundle_dir)})
    manifest = whole.model_dump_json(indent=2)
    (bundle_dir / MANIFEST_NAME).write_text(manifest, encoding="utf-8")
