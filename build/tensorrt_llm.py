"""Builder of the `tensorrt_llm` runtime: runs NVIDIA's tools, or collects a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tokenizers
from enginehouse.build.formats import WeightFormat
from enginehouse.build.hf_checkpoint import HfCheckpoint
from enginehouse.build.plan import BuildPlan, BuiltEngine, Progress
from enginehouse.build.tensorrt_llm_commands import (
    BuildPaths,
    Network,
    VendorCommand,
    engine_commands,
    rank_files,
)
from enginehouse.build.tensorrt_llm_formats import FORMATS, check_capability, check_format
from enginehouse.build.tensorrt_llm_host import check_host
from enginehouse.engine.tensorrt_llm_settings import (
    DraftTarget,
    Eagle3,
    Lora,
    LoraAdapter,
    Medusa,
    TensorRtLlmSettings,
)

from enginehouse.errors import BuildError, CheckpointError

#: Files of a checkpoint that the LLM API reads; some repositories have weights in other formats
#: too.
_KEPT = (".safetensors", ".json", ".model", ".txt", ".jinja", ".tiktoken")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
XGRAMMAR_FILE = "xgrammar_tokenizer_info.json"
_LOG_LINES = 8


class TensorRtLlmBuilder:
    """Writes TensorRT plans, or bundles whose checkpoint the LLM API runs directly."""

    formats = tuple(FORMATS)

    def estimate_bytes(self, checkpoint: Path) -> int:
        """See `Builder.estimate_bytes`: converted checkpoint and plan, each at most the weights."""
        if not checkpoint.is_dir():
            return 0  # `build` refuses it
        return 2 * sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))

    def build(
        self, plan: BuildPlan, engine_dir: Path, scratch: Path, progress: Progress
    ) -> BuiltEngine:
        """See `Builder.build`."""
        settings = settings_of(plan)
        source = open_checkpoint(plan.checkpoint)
        check_format(settings, plan.weight_format, source.architecture.family)
        template = _chat_template(plan, source)
        host = check_host(settings)
        capability = {"compute_capability": host.gpu.compute_capability}
        settings = settings.model_copy(update=capability)
        check_capability(settings, plan.weight_format)
        if settings.flavour == "engine":
            _build_plan(plan, settings, source, BuildPaths(scratch, engine_dir), progress)
        else:
            _collect(plan, source, engine_dir, progress)
        settings = _localised(settings, engine_dir)
        length = source.context_length
        return BuiltEngine(
            architecture=source.architecture,
            weight_format=plan.weight_format,
            context_length=min(length, settings.limits.max_seq_len or length),
            special_tokens=source.special_tokens,
            checkpoint=source.describe(),
            chat_template=template,
            tokenizer=source.tokenizer_json,
            runtime_version=host.versions["tensorrt_llm"],
            tool_versions={**host.versions, "gpu": host.gpu.name},
            engine_encode=_engine_tokenizer(engine_dir),
            generation_defaults=source.generation_defaults,
            tensorrt_llm=settings,
        )


def settings_of(plan: BuildPlan) -> TensorRtLlmSettings:
    """The plan's settings of the runtime, including the adapters that the plan lists."""
    settings = plan.tensorrt_llm or TensorRtLlmSettings()
    known = () if settings.lora is None else settings.lora.adapters
    names = {adapter.name for adapter in known}
    added = tuple(
        LoraAdapter(name=name, path=str(path))
        for name, path in plan.adapters.items()
        if name not in names
    )
    if not added:
        return settings
    lora = settings.lora or Lora(adapters=added)
    lora = lora.model_copy(update={"adapters": (*known, *added)})
    return settings.model_copy(update={"lora": lora})


def open_checkpoint(path: Path, *, config_only: bool = False) -> HfCheckpoint:
    """Open the checkpoint's directory.

    Raises:
        CheckpointError: if it is a file or does not exist.
    """
    if path.is_file():
        raise CheckpointError(
            f"{path}: runtime 'tensorrt_llm' builds from a Hugging Face directory, not from a "
            "GGUF file; download the model's original repository"
        )
    return HfCheckpoint(path, config_only=config_only)


def draft_network(settings: TensorRtLlmSettings) -> Network | None:
    """The draft model to build beside the target; None without draft-target speculation."""
    if not isinstance(settings.speculative, DraftTarget):
        return None
    path = Path(settings.speculative.model)
    draft = open_checkpoint(path, config_only=True)
    return Network(path, draft.architecture.family)


def _chat_template(plan: BuildPlan, source: HfCheckpoint) -> str:
    if plan.chat_template is not None:
        return plan.chat_template.read_text(encoding="utf-8")
    if source.chat_template is None:
        raise BuildError(
            f"{plan.checkpoint}: the checkpoint has no chat template; give one with "
            "--chat-template FILE (a Jinja file)"
        )
    return source.chat_template


def _build_plan(
    plan: BuildPlan,
    settings: TensorRtLlmSettings,
    source: HfCheckpoint,
    places: BuildPaths,
    progress: Progress,
) -> None:
    target = Network(plan.checkpoint.resolve(), source.architecture.family)
    draft = draft_network(settings)
    scratch = Path(places.scratch)
    for command in engine_commands(settings, plan.weight_format, target, draft, places):
        progress(command.purpose)
        _run(command, scratch)
    engine_dir = Path(places.engine)
    _check_plan(engine_dir, settings)
    if draft is not None:
        _check_plan(Path(places.draft_engine), settings)
    for name in _TOKENIZER_FILES:
        if (plan.checkpoint / name).is_file():
            shutil.copy2(plan.checkpoint / name, engine_dir / name)
    if settings.guided_decoding == "xgrammar":
        ends = list(source.special_tokens.end_ids)
        _write_xgrammar(engine_dir / XGRAMMAR_FILE, source.tokenizer_json, ends)


def _run(command: VendorCommand, scratch: Path) -> None:
    log = scratch / "build.log"
    try:
        with log.open("ab") as output:
            done = subprocess.run(
                command.argv, cwd=scratch, stdout=output, stderr=subprocess.STDOUT, check=False
            )
    except FileNotFoundError as error:
        raise BuildError(
            f"{command.argv[0]!r} is missing: build inside the vendor's container; --dry-run "
            "prints how"
        ) from error
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        raise BuildError(
            f"{command.argv[0]} could not {command.purpose} (exit {done.returncode}):\n"
            + "\n".join(tail)
        )


def _check_plan(engine_dir: Path, settings: TensorRtLlmSettings) -> None:
    """Check that the plan has all files and the requested parallelism."""
    missing = [name for name in rank_files(settings) if not (engine_dir / name).is_file()]
    if missing:
        raise BuildError(f"trtllm-build left no {missing[0]} in {engine_dir}: see its output")
    config = json.loads((engine_dir / "config.json").read_text(encoding="utf-8"))
    mapping = config.get("pretrained_config", {}).get("mapping", {})
    wanted = settings.parallel
    for name, value in {"tp_size": wanted.tensor, "pp_size": wanted.pipeline}.items():
        if mapping.get(name, value) != value:
            raise BuildError(
                f"{engine_dir}/config.json: {name} is {mapping[name]}, {value} was asked for"
            )


def _write_xgrammar(path: Path, tokenizer_json: str, end_ids: list[int]) -> None:
    """Write the vocabulary in the form that guided decoding of the C++ backend reads."""
    vocabulary = tokenizers.Tokenizer.from_str(tokenizer_json).get_vocab(with_added_tokens=True)
    content = {
        "encoded_vocab": sorted(vocabulary, key=vocabulary.__getitem__),
        "tokenizer_str": tokenizer_json,
        "stop_token_ids": end_ids,
    }
    path.write_text(json.dumps(content), encoding="utf-8")


def _collect(plan: BuildPlan, source: HfCheckpoint, engine_dir: Path, progress: Progress) -> None:
    check_quantisation(source, plan.weight_format)
    progress(f"collecting {plan.checkpoint.name}")
    _link_files(plan.checkpoint, engine_dir)


def check_quantisation(source: HfCheckpoint, weight_format: WeightFormat) -> None:
    """Check that a checkpoint's quantisation is that of the requested format.

    Raises:
        BuildError: if it is not; names the tool that quantises.
    """
    found = quantisation_of(source)
    wanted = FORMATS[weight_format].quant_algo
    if found != wanted:
        raise BuildError(
            f"{source.path}: the checkpoint is {found or 'not quantised'}, format "
            f"{weight_format.value!r} wants {wanted or 'one that is not quantised'}: quantise it "
            "with NVIDIA ModelOpt (examples/llm_ptq, export format hf), take a quantised "
            "repository, or choose another --format"
        )


def quantisation_of(source: HfCheckpoint) -> str | None:
    """NVIDIA's name of a checkpoint's quantisation; None if it is not quantised."""
    file = source.path / "hf_quant_config.json"
    own = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    described = own.get("quantization") or source.config.get("quantization_config")
    if not described:
        return None
    name: str = described.get("quant_algo") or described.get("quant_method") or "unknown"
    return name.upper()


def _link_files(source: Path, target: Path) -> None:
    """Hard-link the files, or copy them to another file system; weights are large and constant."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        if not file.is_file() or file.suffix not in _KEPT:
            continue
        try:
            os.link(file.resolve(), target / file.name)
        except OSError:
            shutil.copy2(file, target / file.name)


def _localised(settings: TensorRtLlmSettings, engine_dir: Path) -> TensorRtLlmSettings:
    """Copy adapters and draft model into the bundle; their paths become relative to the engine."""
    changed: dict[str, Any] = {}
    if settings.lora is not None:
        changed["lora"] = _with_adapters(settings.lora, engine_dir)
    speculative = settings.speculative
    if isinstance(speculative, DraftTarget | Eagle3 | Medusa):
        if settings.flavour == "pytorch":
            _link_files(Path(speculative.model), engine_dir / "draft")
        changed["speculative"] = speculative.model_copy(update={"model": "draft"})
    return settings.model_copy(update=changed)


def _with_adapters(lora: Lora, engine_dir: Path) -> Lora:
    moved = []
    for adapter in lora.adapters:
        if not (Path(adapter.path) / "adapter_config.json").is_file():
            raise BuildError(
                f"lora.adapters {adapter.name!r}: {adapter.path} has no adapter_config.json; "
                "give the directory of a PEFT adapter"
            )
        place = f"adapters/{adapter.name}"
        _link_files(Path(adapter.path), engine_dir / place)
        moved.append(adapter.model_copy(update={"path": place}))
    return lora.model_copy(update={"adapters": tuple(moved)})


def _engine_tokenizer(engine_dir: Path) -> Callable[[str], list[int]]:
    """The tokenizer of the transformers package, which TensorRT-LLM depends on and uses."""
    if find_spec("transformers") is None:
        plain = tokenizers.Tokenizer.from_file(str(engine_dir / "tokenizer.json"))
        return lambda text: list(plain.encode(text, add_special_tokens=False).ids)
    from transformers import AutoTokenizer

    loaded: Any = AutoTokenizer.from_pretrained(engine_dir)
    return lambda text: list(loaded.encode(text, add_special_tokens=False))
