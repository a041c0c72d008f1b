"""`enginehouse build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from enginehouse.build import BuildPlan, build_bundle
from enginehouse.build.runtimes import runtime_names
from enginehouse.cli.common import console, current_settings, say
from enginehouse.manifest import EngineSettings
from enginehouse.names import check_model_name


def build(
    checkpoint: Annotated[Path, typer.Argument(help="GGUF file or Hugging Face directory.")],
    name: Annotated[str, typer.Option("--name", help="Model name, for example smollm2.")],
    runtime: Annotated[
        str, typer.Option(help=f"What executes the engine: {', '.join(runtime_names())}.")
    ] = "openvino",
    output: Annotated[
        Path | None,
        typer.Option(help="Directory of the bundle; default: $ENGINEHOUSE_HOME/bundles/NAME."),
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(help="Jinja file that replaces the checkpoint's template.")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Sequences in flight at once.")] = 64,
) -> None:
    """Build an engine bundle from a checkpoint.

    Example: `enginehouse build SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2`
    """
    check_model_name(name)
    target = output or current_settings().bundles_dir / name
    plan = BuildPlan(
        checkpoint=checkpoint,
        name=name,
        runtime=runtime,
        output=target.resolve(),
        chat_template=chat_template,
        settings=EngineSettings(max_batch=max_batch),
    )
    bundle = build_bundle(plan, say)
    manifest = bundle.manifest
    table = Table(title=f"engine bundle {name}", show_header=False)
    for key, value in (
        ("path", str(bundle.path)),
        ("runtime", f"{manifest.runtime} {manifest.runtime_version}"),
        ("weights", manifest.weight_format),
        ("context", f"{manifest.context_length} tokens"),
        ("size", f"{manifest.size_bytes / 2**20:.0f} MiB in {len(manifest.files)} files"),
        ("checkpoint", manifest.checkpoint.sha256[:16]),
    ):
        table.add_row(key, value)
    console.print(table)
    console.print(f"next: enginehouse register {bundle.path} --name {name}", soft_wrap=True)
