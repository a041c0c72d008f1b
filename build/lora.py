"""Checks LoRA adapters in PEFT's layout against a model and copies them into its bundle.

Layout (huggingface/peft, `LoraConfig` and its checkpoint format): ``adapter_config.json`` has `r`,
`lora_alpha` and `target_modules`. ``adapter_model.safetensors`` has
``base_model.model.<module>.lora_A.weight`` [r, in] and ``.lora_B.weight`` [out, r].
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from enginehouse.errors import CheckpointError
from enginehouse.manifest import Adapter, Architecture
from enginehouse.names import check_model_name

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
ADAPTERS_DIR = "adapters"


def take_adapter(name: str, source: Path, engine_dir: Path, architecture: Architecture) -> Adapter:
    """Check an adapter and copy it into the engine's directory.

    Raises:
        NameRefusedError: if the name is not a valid model name.
        CheckpointError: names the file, field or tensor that does not fit the model.
    """
    check_model_name(name)
    config = _config(source)
    rank = int(_require(config, "r", source))
    _check_weights(source / _WEIGHTS, rank, architecture)
    target = engine_dir / ADAPTERS_DIR / f"{name}.safetensors"
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source / _WEIGHTS, target)
    # rsLoRA divides by the square root of the rank (arXiv 2312.03732).
    divisor = math.sqrt(rank) if config.get("use_rslora") else rank
    return Adapter(
        name=name,
        file=target.relative_to(engine_dir).as_posix(),
        rank=rank,
        scale=float(_require(config, "lora_alpha", source)) / divisor,
    )


def _config(source: Path) -> dict[str, Any]:
    path = source / _CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{source}: not a LoRA adapter: no {_CONFIG}; save it with PEFT's save_pretrained"
        ) from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type", "LORA") != "LORA":
        raise CheckpointError(f"{path}: not a LoRA adapter")
    for field in ("use_dora", "modules_to_save"):
        if config.get(field):
            raise CheckpointError(f"{path}: {field} is set, which the runtime cannot apply")
    return config


def _require(config: dict[str, Any], field: str, source: Path) -> Any:
    if not config.get(field):
        raise CheckpointError(f"{source / _CONFIG}: field {field!r} is missing or 0")
    return config[field]


def _check_weights(path: Path, rank: int, architecture: Architecture) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path.parent}: no {_WEIGHTS} beside {_CONFIG}")
    try:
        with safe_open(path, framework="numpy") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged safetensors file: {error}") from error
    matrices = {key: shape for key, shape in shapes.items() if ".lora_" in key}
    if not matrices:
        raise CheckpointError(f"{path}: it holds no lora_A or lora_B matrices")
    for key, shape in matrices.items():
        _check_matrix(path, key, shape, rank, architecture)


def _check_matrix(
    path: Path, key: str, shape: list[int], rank: int, architecture: Architecture
) -> None:
    inner = shape[0] if ".lora_A." in key else shape[-1]
    if inner != rank:
        raise CheckpointError(f"{path}: {key} has shape {shape}, but r is {rank}")
    parts = key.split(".")
    if "layers" not in parts:
        return
    layer = int(parts[parts.index("layers") + 1])
    widths = _widths(architecture).get(next((p for p in parts if p.endswith("_proj")), ""))
    outer = shape[-1] if ".lora_A." in key else shape[0]
    expected = None if widths is None else widths[0 if ".lora_A." in key else 1]
    if layer >= architecture.layers or (expected is not None and outer != expected):
        raise CheckpointError(
            f"{path}: {key} with shape {shape} does not fit this model "
            f"({architecture.layers} layers, hidden {architecture.hidden_size}); it was trained "
            "on another one"
        )


def _widths(a: Architecture) -> dict[str, tuple[int, int]]:
    """Input and output width of each linear layer."""
    query, key_value = a.attention_heads * a.head_size, a.kv_heads * a.head_size
    widths = {
        "q_proj": (a.hidden_size, query),
        "k_proj": (a.hidden_size, key_value),
        "v_proj": (a.hidden_size, key_value),
        "o_proj": (query, a.hidden_size),
    }
    if a.intermediate_size is not None:
        widths["gate_proj"] = widths["up_proj"] = (a.hidden_size, a.intermediate_size)
        widths["down_proj"] = (a.intermediate_size, a.hidden_size)
    return widths
