"""`enginehouse build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from enginehouse.build.bundle_writer import build_bundle
from enginehouse.build.default_checkpoint import resolve_checkpoint
from enginehouse.build.estimate import estimate_build
from enginehouse.build.formats import WeightFormat
from enginehouse.build.plan import BuildPlan
from enginehouse.build.reproof import prove_again
from enginehouse.build.runtimes import runtime_names
from enginehouse.build.tensorrt_llm_options import tensorrt_llm_settings
from enginehouse.cli.common import console, current_settings, say
from enginehouse.cli.tensorrt_llm_dry_run import dry_run as tensorrt_llm_dry_run
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings
from rich.table import Table

from enginehouse.bundle import Bundle
from enginehouse.errors import BuildError
from enginehouse.manifest import EngineManifest, EngineSettings
from enginehouse.names import check_model_name

_TENSORRT_LLM = "tensorrt_llm"
_PANEL = "Runtime tensorrt_llm"
_DEFAULT_MAX_BATCH = 64

_CHECKPOINT = """GGUF file or Hugging Face directory (one with a modules.json is an embedding
model), or the name of a packaged checkpoint: smollm2, all-minilm-l6-v2."""
_FORMATS = """Weight format. CPU, measured on the default model (docs/formats.md), tokens/s at 1 and
16 streams: fp16: 263 MiB, 66 and 614, exact (perplexity x1.001); int8: 135 MiB, 86 and 622, nearly
exact (x1.002); int4: 101 MiB, 80 and 590, for large models (x1.17 on this small one). GPU: fp16,
bf16, fp8, w8a16, w4a16_awq, smoothquant, nvfp4 (docs/tensorrt-llm.md)."""


def build(
    checkpoint: Annotated[Path, typer.Argument(help=_CHECKPOINT)],
    name: Annotated[str, typer.Option("--name", help="Model name, for example smollm2.")],
    runtime: Annotated[
        str, typer.Option(help=f"Runtime that executes the engine: {', '.join(runtime_names())}.")
    ] = "openvino",
    weight_format: Annotated[
        WeightFormat, typer.Option("--format", help=_FORMATS)
    ] = WeightFormat.FP16,
    kv_cache_precision: Annotated[
        Literal["auto", "u8", "bf16", "f16"],
        typer.Option(
            help="KV cache: u8 holds 1.7 times the tokens of bf16 in the same memory, as fast."
        ),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(help="Directory of the bundle; default: $ENGINEHOUSE_HOME/bundles/NAME."),
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(help="Jinja file that replaces the checkpoint's template.")
    ] = None,
    max_batch: Annotated[
        int | None,
        typer.Option(min=1, help=f"Maximum sequences in flight; default: {_DEFAULT_MAX_BATCH}."),
    ] = None,
    accept_quality: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Accept the engine with this reason despite its thresholds; recorded.",
        ),
    ] = None,
    card_notes: Annotated[
        Path | None,
        typer.Option(
            help="Markdown added to the model card; default: $ENGINEHOUSE_HOME/cards/NAME.md."
        ),
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR",
            help="Include a LoRA adapter in PEFT's layout, requested as MODEL:NAME; repeatable.",
        ),
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Show weights, KV cache and fitting batch, and exit."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            rich_help_panel=_PANEL,
            help="Print the commands, arguments and files; needs config.json, no GPU, no weights.",
        ),
    ] = False,
    flavour: Annotated[
        Literal["engine", "pytorch"] | None,
        typer.Option(
            rich_help_panel=_PANEL,
            help="engine: a TensorRT plan, up to 1.2; pytorch: the LLM API (default).",
        ),
    ] = None,
    target_version: Annotated[
        Literal["1.0", "1.1", "1.2", "newest"] | None,
        typer.Option(rich_help_panel=_PANEL, help="Series of TensorRT-LLM; default: 1.2."),
    ] = None,
    tensor_parallel: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_PANEL, help="GPUs that share each layer."),
    ] = None,
    pipeline_parallel: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=_PANEL, help="Stages of layers.")
    ] = None,
    expert_parallel: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_PANEL, help="Ways to spread a mixture's experts."),
    ] = None,
    max_input_len: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=_PANEL, help="Tokens of a prompt.")
    ] = None,
    max_seq_len: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_PANEL, help="Tokens of prompt and answer."),
    ] = None,
    max_num_tokens: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_PANEL, help="Tokens of one scheduling step."),
    ] = None,
    tensorrt_llm_config: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_PANEL,
            help="JSON or YAML of every setting (docs/tensorrt-llm.md); options override it.",
        ),
    ] = None,
) -> None:
    """Build an engine bundle from a checkpoint, and check its quality against torch's float32.

    Example: `enginehouse build SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2 --format int8`
    """
    check_model_name(name)
    gpu = _gpu_settings(
        runtime,
        tensorrt_llm_config,
        {
            "flavour": flavour,
            "version": target_version,
            "parallel.tensor": tensor_parallel,
            "parallel.pipeline": pipeline_parallel,
            "parallel.expert": expert_parallel,
            "limits.max_batch_size": max_batch if runtime == _TENSORRT_LLM else None,
            "limits.max_input_len": max_input_len,
            "limits.max_seq_len": max_seq_len,
            "limits.max_num_tokens": max_num_tokens,
            "": dry_run or None,
        },
    )
    batch = max_batch or (_DEFAULT_MAX_BATCH if gpu is None else gpu.limits.max_batch_size)
    settings = current_settings()
    notes = card_notes or settings.home / "cards" / f"{name}.md"
    plan = BuildPlan(
        checkpoint=resolve_checkpoint(checkpoint),
        name=name,
        runtime=runtime,
        output=(output or settings.bundles_dir / name).resolve(),
        weight_format=weight_format,
        chat_template=chat_template,
        settings=EngineSettings(max_batch=batch, kv_cache_precision=kv_cache_precision),
        accept_quality=accept_quality,
        references_dir=settings.references_dir,
        card_notes=notes if card_notes or notes.is_file() else None,
        tensorrt_llm=gpu,
        adapters=_adapters(lora or []) | _adapters_of(gpu),
    )
    if estimate:
        _show_estimate(plan)
        return
    if gpu is not None and dry_run:
        typer.echo(tensorrt_llm_dry_run(plan), nl=False)
        return
    bundle = build_bundle(plan, say)
    _show(bundle.manifest, bundle.path)
    console.print(f"next: enginehouse register {bundle.path} --name {name}", soft_wrap=True)


def _adapters(given: list[str]) -> dict[str, Path]:
    adapters: dict[str, Path] = {}
    for entry in given:
        name, separator, path = entry.partition("=")
        if not separator or name in adapters:
            raise BuildError(f"--lora {entry!r}: give NAME=DIR, each name once")
        adapters[name] = Path(path)
    return adapters


def _show_estimate(plan: BuildPlan) -> None:
    found = estimate_build(plan)
    sizes = found.sizes
    table = Table(title=f"estimate for {plan.name}, {plan.weight_format}", show_header=False)
    rows = {
        "parameters": f"{sizes.parameters / 1e6:,.0f} million",
        "weights": f"{sizes.weight_bytes / 2**20:,.0f} MiB on {found.ranks} rank(s)",
        "KV cache": f"{sizes.kv_bytes_per_token:,} bytes a token",
        "pool": found.pool,
        "tokens in the pool": f"{sizes.pool_tokens:,}",
        "batch that fits": f"{sizes.batch_at_1k:,} sequences of 1,024 tokens, "
        f"{sizes.batch_at_context:,} of {found.context_length:,}",
        "formula": "2 x layers x KV heads x head size x bytes (arXiv 2309.06180, section 3)",
    }
    for key, value in rows.items():
        table.add_row(key, value)
    console.print(table)


def _gpu_settings(
    runtime: str, file: Path | None, options: dict[str, object | None]
) -> TensorRtLlmSettings | None:
    """Settings of the runtime `tensorrt_llm`; other runtimes accept none of its options."""
    if runtime == _TENSORRT_LLM:
        return tensorrt_llm_settings(file, {k: v for k, v in options.items() if k})
    if file is not None or any(value is not None for value in options.values()):
        raise BuildError(
            f"--dry-run, --flavour and the other options of runtime {_TENSORRT_LLM!r} mean nothing "
            f"to runtime {runtime!r}: add --runtime {_TENSORRT_LLM}, or leave them out"
        )
    return None


def _adapters_of(settings: TensorRtLlmSettings | None) -> dict[str, Path]:
    """Adapters in the settings file are part of the bundle too: clients request them by name."""
    if settings is None or settings.lora is None:
        return {}
    return {adapter.name: Path(adapter.path) for adapter in settings.lora.adapters}


def prove_bundle(
    bundle_dir: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Directory of a bundle.")],
) -> None:
    """Measure a bundle's quality again on this host; exit status 1 if it fails.

    The bundle is not changed: it keeps the reports of its build.
    """
    bundle = Bundle.open(bundle_dir)
    quality = prove_again(bundle, current_settings().references_dir, say)
    _show(bundle.manifest.model_copy(update={"quality": quality}), bundle.path)


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
    if quality is not None and quality.max_abs_difference is not None:
        rows["largest difference"] = f"{quality.max_abs_difference:.2g}"
    if quality is not None and quality.tasks_total:
        rows["equal greedy tokens"] = f"{quality.equal_tokens_share:.3f}"
        rows["tasks solved"] = f"{quality.tasks_solved} of {quality.tasks_total}"
    for key, value in rows.items():
        table.add_row(key, value)
    console.print(table)
