from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from enginehouse.build.default_checkpoint import default_checkpoint


@pytest.fixture
def unknown_checkpoint(tmp_path: Path) -> Path:
    """The default model with 32 bytes appended: a file for which no reference is packaged."""
    checkpoint = tmp_path / "other.gguf"
    shutil.copy(default_checkpoint(), checkpoint)
    with checkpoint.open("ab") as stream:
        stream.write(b"\0" * 32)
    return checkpoint
