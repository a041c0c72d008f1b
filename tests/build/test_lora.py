"""Adapters that do not fit are refused by name; estimates need no weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from enginehouse.build.lora import take_adapter

from enginehouse.bundle import Bundle
from enginehouse.errors import CheckpointError, NameRefusedError
from tests.conftest import call_cli, stack_env
from tests.engine.adapters import write_adapter


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "adapter")


def _change(adapter: Path, **fields: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"r": 8}, "but r is 8"),
        ({"r": None}, "field 'r' is missing"),
        ({"lora_alpha": 0}, "field 'lora_alpha'"),
        ({"use_dora": True}, "use_dora"),
        ({"peft_type": "IA3"}, "not a LoRA adapter"),
    ],
)
def test_a_configuration_that_cannot_be_applied(
    adapter: Path, bundle: Bundle, tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    _change(adapter, **fields)
    with pytest.raises(CheckpointError, match=said):
        take_adapter("a", adapter, tmp_path, bundle.manifest.architecture)


def test_an_adapter_of_another_model(adapter: Path, bundle: Bundle, tmp_path: Path) -> None:
    other = bundle.manifest.architecture.model_copy(update={"hidden_size": 512})
    with pytest.raises(CheckpointError, match="trained on another"):
        take_adapter("a", adapter, tmp_path, other)
    with pytest.raises(NameRefusedError):
        take_adapter("A:b", adapter, tmp_path, other)
    (adapter / "adapter_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="damaged"):
        take_adapter("a", adapter, tmp_path, other)
    with pytest.raises(CheckpointError, match=r"no adapter_config\.json"):
        take_adapter("a", tmp_path, tmp_path, other)


def test_an_estimate_shows_sizes_and_builds_nothing(tmp_path: Path) -> None:
    env = stack_env(tmp_path)
    options = ("--name", "m", "--format", "int4", "--kv-cache-precision", "u8", "--estimate")
    done = call_cli(env, "build", "smollm2", *options)
    assert done.returncode == 0, done.stderr
    assert "13,680 bytes a token" in done.stdout
    assert "2309.06180" in done.stdout
    assert not (tmp_path / "bundles").exists()


def test_a_lora_option_without_a_directory(tmp_path: Path) -> None:
    done = call_cli(stack_env(tmp_path), "build", "smollm2", "--name", "m", "--lora", "loud")
    assert done.returncode == 1
    assert "give NAME=DIR" in " ".join(done.stderr.split())
