"""A tiny LoRA adapter, made by the tests: large enough to be seen, small enough to commit to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from enginehouse.build.lora import take_adapter
from safetensors.numpy import save_file

from enginehouse.bundle import Bundle, describe_files
from enginehouse.manifest import MANIFEST_NAME, EngineSettings

HIDDEN, LAYERS, KEY_VALUE = 576, 30, 192


def adapted_bundle(
    bundle: Bundle, home: Path, names: Sequence[str], settings: EngineSettings
) -> Bundle:
    """A copy of a bundle with an adapter for each name, without another build."""
    copy = Path(shutil.copytree(bundle.path, home / "bundle"))
    adapters = tuple(
        take_adapter(
            name,
            write_adapter(home / name, seed=seed),
            copy / "engine",
            bundle.manifest.architecture,
        )
        for seed, name in enumerate(names)
    )
    manifest = bundle.manifest.model_copy(
        update={
            "adapters": adapters,
            "engine_settings": settings,
            "files": describe_files(copy),
        }
    )
    (copy / MANIFEST_NAME).write_text(manifest.model_dump_json())
    return Bundle.open(copy)


def write_adapter(directory: Path, *, rank: int = 4, seed: int = 0, layers: int = 4) -> Path:
    """An adapter of the default model's query and value layers, in PEFT's layout."""
    random = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for layer in range(layers):
        for name, width in (("q_proj", HIDDEN), ("v_proj", KEY_VALUE)):
            at = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            a = random.normal(0, 0.2, (rank, HIDDEN))
            b = random.normal(0, 0.2, (width, rank))
            tensors[f"{at}.lora_A.weight"] = a.astype(np.float32)
            tensors[f"{at}.lora_B.weight"] = b.astype(np.float32)
    directory.mkdir(parents=True)
    save_file(tensors, directory / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": ["q_proj", "v_proj"],
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return directory
