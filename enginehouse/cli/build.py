"""`enginehouse build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from enginehouse.build import BuildPlan, build_bundle
from enginehouse.build.formats import THRESHOLDS, WeightFormat
from enginehouse.build.proof import prove
from enginehouse.build.proof_set import proof_set
from enginehouse.build.reference import ReferenceStore
from enginehouse.build.runtimes import runtime_names
from enginehouse.bundle import Bundle
from enginehouse.cli.common import console, current_settings, say
from enginehouse.errors import ReferenceMissingError
from enginehouse.manifest import EngineManifest, EngineSettings
from enginehouse.names import check_model_name

_FORMATS = """Weight format. CPU, measured on the default model (docs/formats.md): fp16: exact,
263 MiB; int8: half the size, nearly exact; int4: a third of the size, loses the most."""


def build(
    checkpoint: Annotated[Path, typer.Argument(help="GGUF file or Hugging Face directory.")],
    name: Annotated[str, typer.Option("--name", help="Model name, for example smollm2.")],
    runtime: Annotated[
        str, typer.Option(help=f"What executes the engine: {', '.join(runtime_names())}.")
    ] = "openvino",
    weight_format: Annotated[
        WeightFormat, typer.Option("--format", help=_FORMATS)
    ] = WeightFormat.FP16,
    kv_cache_precision: Annotated[
        Literal["auto", "u8", "bf16", "f16"],
        typer.Option(help="KV cache: u8 holds twice the tokens of bf16 in the same memory."),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(help="Directory of the bundle; default: $ENGINEHOUSE_HOME/bundles/NAME."),
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(help="Jinja file that replaces the checkpoint's template.")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Sequences in flight at once.")] = 64,
    accept_quality: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Take the engine though it is past its thresholds, or unproven; recorded.",
        ),
    ] = None,
    card_notes: Annotated[
        Path | None,
        typer.Option(
            help="Markdown added to the model card; default: $ENGINEHOUSE_HOME/cards/NAME.md."
        ),
    ] = None,
) -> None:
    """Build an engine bundle from a checkpoint, and prove it against torch's float32.

    Example: `enginehouse build SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2 --format int8`
    """
    check_model_name(name)
    settings = current_settings()
    notes = card_notes or settings.home / "cards" / f"{name}.md"
    plan = BuildPlan(
        checkpoint=checkpoint,
        name=name,
        runtime=runtime,
        output=(output or settings.bundles_dir / name).resolve(),
        weight_format=weight_format,
        chat_template=chat_template,
        settings=EngineSettings(max_batch=max_batch, kv_cache_precision=kv_cache_precision),
        accept_quality=accept_quality,
        references_dir=settings.references_dir,
        card_notes=notes if card_notes or notes.is_file() else None,
    )
    bundle = build_bundle(plan, say)
    _show(bundle.manifest, bundle.path)
    console.print(f"next: enginehouse register {bundle.path} --name {name}", soft_wrap=True)


def prove_bundle(
    bundle_dir: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Directory of a bundle.")],
) -> None:
    """Measure a bundle again against its reference, on this host; exit 1 if it is not proven.

    Nothing in the bundle changes: its own reports stay those of its build.
    """
    bundle = Bundle.open(bundle_dir)
    bundle.verify()
    manifest = bundle.manifest
    reference = ReferenceStore(current_settings().references_dir).find(
        manifest.checkpoint.sha256, proof_set()
    )
    if reference is None:
        raise ReferenceMissingError(
            f"no reference result of checkpoint {manifest.checkpoint.sha256[:12]}… is known here; "
            "build the checkpoint on this host, which computes and keeps it"
        )
    report, _ = prove(bundle, reference, THRESHOLDS[WeightFormat(manifest.format)], None, say)
    _show(manifest.model_copy(update={"quality": report.summary}), bundle.path)


def _show(manifest: EngineManifest, path: Path) -> None:
    quality = manifest.quality
    table = Table(title=f"engine bundle {manifest.model_name}", show_header=False)
    rows = {
        "path": str(path),
        "runtime": f"{manifest.runtime} {manifest.runtime_version}",
        "weights": manifest.weight_format,
        "context": f"{manifest.context_length} tokens",
        "size": f"{manifest.size_bytes / 2**20:.0f} MiB in {len(manifest.files)} files",
        "checkpoint": manifest.checkpoint.sha256[:16],
    }
    if quality is not None:
        rows["quality"] = quality.status.replace("_", " ")
    if quality is not None and quality.perplexity_ratio is not None:
        rows["perplexity ratio"] = f"{quality.perplexity_ratio:.4f}"
        rows["KL divergence"] = f"{quality.mean_kl_nats:.4f} nats"
    if quality is not None and quality.tasks_total:
        rows["equal greedy tokens"] = f"{quality.equal_tokens_share:.3f}"
        rows["tasks solved"] = f"{quality.tasks_solved} of {quality.tasks_total}"
    for key, value in rows.items():
        table.add_row(key, value)
    console.print(table)
