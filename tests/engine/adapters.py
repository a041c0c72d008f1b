"""A tiny LoRA adapter, made by the tests: large enough to be seen, small enough to commit to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HIDDEN, LAYERS, KEY_VALUE = 576, 30, 192


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
