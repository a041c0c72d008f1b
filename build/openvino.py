"""Builder of the `openvino` runtime: GGUF without torch, Hugging Face directories with optimum."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from enginehouse.build.formats import COMPRESSION, WeightFormat
from enginehouse.build.gguf_checkpoint import GgufCheckpoint
from enginehouse.build.gguf_tokenizer import tokenizer_json
from enginehouse.build.hf_checkpoint import HfCheckpoint
from enginehouse.build.openvino_compression import compress
from enginehouse.build.openvino_names import name_layers
from enginehouse.build.plan import BuildPlan, BuiltEngine, Progress

from enginehouse.errors import BuildError
from enginehouse.host import package_version

_MODEL_XML = "openvino_model.xml"


class OpenVinoBuilder:
    """Writes OpenVINO IR and the runtime's own tokenizer files."""

    formats = (WeightFormat.FP16, WeightFormat.INT8, WeightFormat.INT4)

    def estimate_bytes(self, checkpoint: Path) -> int:
        """See `Builder.estimate_bytes`: a scratch copy and the IR, both at most F16.

        Weights of 4 bits grow to 16, twice.
        """
        if checkpoint.is_dir():
            return 3 * sum(f.stat().st_size for f in checkpoint.glob("*.safetensors"))
        return 8 * checkpoint.stat().st_size

    def build(
        self, plan: BuildPlan, engine_dir: Path, scratch: Path, progress: Progress
    ) -> BuiltEngine:
        """See `Builder.build`. A directory is exported with optimum, a file is read as GGUF."""
        if plan.checkpoint.is_dir():
            built = _from_huggingface(plan, engine_dir, progress)
        else:
            built = _from_gguf(plan, engine_dir, scratch, progress)
        compression = COMPRESSION[plan.weight_format]
        if compression.bits == 16:  # noqa: PLR2004 - the IR is FP16 already
            return built
        progress(f"compressing weights to {plan.weight_format}")
        how = compress(engine_dir / _MODEL_XML, built.architecture, compression)
        return replace(
            built,
            weight_format=built.weight_format.replace("fp16", how, 1),
            tool_versions={**built.tool_versions, **_tools("nncf")},
        )


def _from_gguf(plan: BuildPlan, engine_dir: Path, scratch: Path, progress: Progress) -> BuiltEngine:
    progress(f"reading {plan.checkpoint.name}")
    source = GgufCheckpoint(plan.checkpoint)
    template = _chat_template(plan, source.chat_template)
    tokenizer = tokenizer_json(source)
    progress("dequantising to F16")
    exact = scratch / "f16.gguf"
    source.write_f16(exact)
    progress("converting to OpenVINO IR")
    _convert(exact, engine_dir)
    name_layers(engine_dir / _MODEL_XML)
    return BuiltEngine(
        architecture=source.architecture,
        weight_format=f"fp16 (from {source.weight_format})",
        context_length=source.context_length,
        special_tokens=source.special_tokens,
        checkpoint=source.describe(),
        chat_template=template,
        tokenizer=tokenizer,
        runtime_version=package_version("openvino-genai"),
        tool_versions=_tools("openvino", "openvino-genai", "openvino-tokenizers", "gguf"),
        engine_encode=engine_tokenizer(engine_dir),
    )


def _convert(gguf_file: Path, engine_dir: Path) -> None:
    """Convert a GGUF file. The pipeline writes the IR beside it; it is moved into the bundle."""
    import openvino_genai

    try:
        openvino_genai.LLMPipeline(str(gguf_file), "CPU", enable_save_ov_model=True)
    except RuntimeError as error:
        raise BuildError(f"OpenVINO could not read the checkpoint: {error}") from error
    for file in gguf_file.parent.glob("openvino_*"):
        file.rename(engine_dir / file.name)
    if not (engine_dir / _MODEL_XML).is_file():
        raise BuildError(f"OpenVINO wrote no {_MODEL_XML}; the checkpoint may not be supported")


def _from_huggingface(plan: BuildPlan, engine_dir: Path, progress: Progress) -> BuiltEngine:
    progress(f"reading {plan.checkpoint.name}")
    source = HfCheckpoint(plan.checkpoint)
    template = _chat_template(plan, source.chat_template)
    if importlib.util.find_spec("optimum") is None:
        raise BuildError(
            "a Hugging Face directory needs torch, transformers and optimum-intel: install them "
            "with `pip install 'enginehouse[build]'`, or give a GGUF file, which needs none"
        )
    progress("exporting to OpenVINO IR with optimum-intel")
    _export(plan.checkpoint, engine_dir)
    return BuiltEngine(
        architecture=source.architecture,
        weight_format="fp16",
        context_length=source.context_length,
        special_tokens=source.special_tokens,
        checkpoint=source.describe(),
        chat_template=template,
        tokenizer=source.tokenizer_json,
        runtime_version=package_version("openvino-genai"),
        tool_versions=_tools(
            "openvino", "openvino-genai", "openvino-tokenizers", "optimum-intel", "transformers",
            "torch",
        ),
        engine_encode=engine_tokenizer(engine_dir),
        generation_defaults=source.generation_defaults,
    )  # fmt: skip


def _export(checkpoint: Path, engine_dir: Path) -> None:
    from optimum.exporters.openvino import main_export
    from optimum.intel import OVConfig

    try:
        main_export(
            model_name_or_path=str(checkpoint),
            output=str(engine_dir),
            task="text-generation-with-past",
            ov_config=OVConfig(dtype="fp16"),
            convert_tokenizer=True,
        )
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise BuildError(f"optimum-intel could not export {checkpoint}: {error}") from error
    keep = {".xml", ".bin"}
    for file in engine_dir.iterdir():
        if file.suffix not in keep:
            file.unlink()


def _chat_template(plan: BuildPlan, own: str | None) -> str:
    if plan.chat_template is not None:
        return plan.chat_template.read_text(encoding="utf-8")
    if own is None:
        raise BuildError(
            f"{plan.checkpoint}: the checkpoint has no chat template; give one with "
            "--chat-template FILE (a Jinja file)"
        )
    return own


def engine_tokenizer(engine_dir: Path) -> Callable[[str], list[int]]:
    """The runtime's tokenizer as a function. It recognises control tokens and adds none."""
    import openvino_genai

    tokenizer: Any = openvino_genai.Tokenizer(str(engine_dir))

    def encode(text: str) -> list[int]:
        return [int(i) for i in tokenizer.encode(text, add_special_tokens=False).input_ids.data[0]]

    return encode


def _tools(*packages: str) -> dict[str, str]:
    return {package: package_version(package) for package in packages}
