"""The inputs and results of a build, and the interface of a builder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from enginehouse.build.formats import WeightFormat
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings

from enginehouse.manifest import (
    Architecture,
    Checkpoint,
    EngineSettings,
    GenerationDefaults,
    SpecialTokens,
)

#: Called with one short sentence for each step of a build.
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """The options of one build.

    Attributes:
        checkpoint: GGUF file or Hugging Face directory.
        name: model name; `build_bundle` checks it.
        runtime: name of a registered builder.
        output: directory that will hold the bundle; it must not exist.
        weight_format: one of the builder's `formats`.
        chat_template: file that replaces the checkpoint's chat template.
        settings: written into the manifest as the serving defaults.
        accept_quality: reason to accept an engine that is not proven; None refuses it.
        references_dir: cache of reference results; None disables the cache.
        adapters: directories in PEFT's layout by the name of the LoRA adapter.
        card_notes: Markdown file with the user's notes for the model card, see `card`.
        tensorrt_llm: settings of that runtime; None uses its defaults.
    """

    checkpoint: Path
    name: str
    runtime: str
    output: Path
    weight_format: WeightFormat = WeightFormat.FP16
    chat_template: Path | None = None
    settings: EngineSettings = field(default_factory=EngineSettings)
    accept_quality: str | None = None
    references_dir: Path | None = None
    card_notes: Path | None = None
    tensorrt_llm: TensorRtLlmSettings | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """What a builder returns about the engine files that it wrote.

    Attributes:
        tokenizer: content of a ``tokenizer.json``.
        engine_encode: the engine's own tokenizer, to check that ids agree. It recognises control
            tokens and adds none.
        tensorrt_llm: settings that this runtime needs to run the engine.
    """

    architecture: Architecture
    weight_format: str
    context_length: int
    special_tokens: SpecialTokens
    checkpoint: Checkpoint
    chat_template: str
    tokenizer: str
    runtime_version: str
    tool_versions: dict[str, str]
    engine_encode: Callable[[str], list[int]]
    generation_defaults: GenerationDefaults = field(default_factory=GenerationDefaults)
    tensorrt_llm: TensorRtLlmSettings | None = None


class Builder(Protocol):
    """The part of a build that depends on the runtime."""

    @property
    def formats(self) -> tuple[WeightFormat, ...]:
        """The weight formats that the runtime supports."""
        ...

    def estimate_bytes(self, checkpoint: Path) -> int:
        """Upper bound of the disk space the build needs, scratch files included."""
        ...

    def build(
        self, plan: BuildPlan, engine_dir: Path, scratch: Path, progress: Progress
    ) -> BuiltEngine:
        """Write the engine's files into `engine_dir`.

        Raises:
            CheckpointError: if the checkpoint cannot be used.
            BuildError: if the runtime refuses it.
        """
        ...
