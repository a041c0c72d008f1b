"""The real stack: a text generator, an embedding model, and NVIDIA's bare names."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from enginehouse.build.default_checkpoint import default_checkpoint

from enginehouse.bundle import Bundle
from tests.conftest import (
    BOTH_READY,
    RunningStack,
    copied_home,
    registered_home,
    run_cli,
    running_stack,
    stack_env,
    wait_until,
)

TEXT = "smollm2"
EMBEDDING = "minilm"
_CHECKPOINTS = {TEXT: default_checkpoint, EMBEDDING: lambda: "all-minilm-l6-v2"}


def build_bundles(home: Path) -> dict[str, Path]:
    """Both models' bundles below `home`, built unless they are there."""
    found = {}
    for name, checkpoint in _CHECKPOINTS.items():
        found[name] = home / "bundles" / name
        if not found[name].exists():
            _checked(stack_env(home), "build", checkpoint(), "--name", name)
    return found


def write_tokenizer(bundle: Path, folder: Path) -> Path:
    """The text model's tokenizer as tools load it from a folder: transformers' files."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(bundle / "tokenizer.json", folder)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": (bundle / "chat_template.jinja").read_text("utf-8"),
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return folder


@contextmanager
def served(bundles: dict[str, Path]) -> Iterator[RunningStack]:
    """The stack, until the block ends; all names are ready."""
    with tempfile.TemporaryDirectory(prefix="enginehouse-clients-") as home:
        # A copy is only safe where tests of this very commit made it.
        register = copied_home if os.environ.get("ENGINEHOUSE_TEST_BUNDLES") else registered_home
        register(Path(home), Bundle.open(bundles[TEXT]))
        env = stack_env(Path(home)) | {"ENGINEHOUSE_COMPAT_NAMES": TEXT}
        _checked(env, "register", bundles[EMBEDDING], "--name", EMBEDDING)
        _checked(env, "promote", EMBEDDING, 1)
        with running_stack(env) as running:
            wait_until(lambda: running.verdicts() == BOTH_READY, "both models")
            bare = f"{running.settings.addresses.triton_http_url}/v2/models/ensemble/ready"
            wait_until(lambda: httpx.get(bare, timeout=10.0).is_success, "the bare names")
            yield running


def _checked(env: dict[str, str], *arguments: object) -> None:
    done = run_cli(env, *arguments)
    if done.returncode:
        raise SystemExit(f"enginehouse {arguments[0]}: {done.stderr}")
