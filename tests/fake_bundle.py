"""Bundles that verify and register, without an engine in them: for tests of the registry."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from enginehouse.bundle import Bundle, describe_files
from enginehouse.host import HostFingerprint
from enginehouse.manifest import (
    MANIFEST_NAME,
    Architecture,
    Checkpoint,
    EngineManifest,
    EngineSettings,
    Quality,
    SpecialTokens,
)

_TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [{"id": 3, "content": "<|im_end|>"}],
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
}
_SPEED = {
    "prompt_tokens": 64,
    "generated_tokens": 32,
    "rounds": 3,
    "ttft_ms": 20.0,
    "tokens_per_second_1": 60.0,
    "tokens_per_second_16": 500.0,
}


def fake_bundle(
    path: Path,
    *,
    weights: bytes = b"weights",
    template: str = "{{ messages }}\nassistant:",
    tokenizer: dict[str, Any] | None = None,
    speed: dict[str, Any] | None = None,
    **changes: Any,
) -> Bundle:
    """A bundle at `path`; `changes` are fields of its manifest."""
    files = {
        "engine/model.bin": weights,
        "tokenizer.json": json.dumps(tokenizer or _TOKENIZER).encode(),
        "chat_template.jinja": template.encode(),
        "README.md": b"# a card",
        "reports/speed.json": json.dumps(_SPEED | (speed or {})).encode(),
    }
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    manifest = EngineManifest.model_validate(_fields() | {"files": describe_files(path)} | changes)
    (path / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2))
    return Bundle.open(path)


def _fields() -> dict[str, Any]:
    return {
        "model_name": "smollm2",
        "runtime": "openvino",
        "runtime_version": "2026.4.1",
        "built_at": datetime(2026, 11, 1, tzinfo=UTC),
        "built_on": HostFingerprint(
            architecture="x86_64", cpu_model="cpu", cpu_features=(), cpu_count=2, memory_bytes=1
        ),
        "architecture": Architecture(
            family="llama",
            layers=2,
            hidden_size=8,
            attention_heads=2,
            kv_heads=1,
            head_size=4,
            vocabulary_size=4,
        ),
        "weight_format": "int8",
        "quality": Quality(status="passed", perplexity_ratio=1.01, tasks_solved=9, tasks_total=10),
        "context_length": 2048,
        "max_batch": 8,
        "special_tokens": SpecialTokens(bos_id=None, end_ids=(3,), pad_id=3, add_bos=False),
        "generation_defaults": {},
        "engine_settings": EngineSettings(),
        "checkpoint": Checkpoint(kind="gguf", name="smollm2", sha256="0" * 64),
        "build_arguments": {"runtime": "openvino"},
        "tool_versions": {},
        "tokenizer_check": {},
    }
