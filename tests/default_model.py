"""What tests need of the default checkpoint: its tokenizer and its chat template.

Reading the vocabulary out of a GGUF file takes seconds of CPU; all processes of one `make test`
share what the first of them has read.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from enginehouse.build.default_checkpoint import default_checkpoint
from enginehouse.build.gguf_checkpoint import GgufCheckpoint
from enginehouse.build.gguf_tokenizer import tokenizer_json
from pydantic import BaseModel, ConfigDict

from enginehouse.manifest import Architecture, Checkpoint
from enginehouse.text import Tokenizer
from tests.made_once import made_once


class DefaultModel(BaseModel):
    """Facts of the default checkpoint.

    Attributes:
        tokenizer_json: contents of a ``tokenizer.json``.
    """

    model_config = ConfigDict(frozen=True)

    tokenizer_json: str
    chat_template: str
    architecture: Architecture
    checkpoint: Checkpoint


@cache
def default_model() -> DefaultModel:
    """Read from the file that the processes of one `make test` share, or from the checkpoint."""
    shared = os.environ.get("ENGINEHOUSE_TEST_BUNDLES")
    if not shared:
        return _read()
    path = made_once(
        Path(shared) / "default_model.json",
        lambda part: part.write_text(_read().model_dump_json(), "utf-8"),
    )
    return DefaultModel.model_validate_json(path.read_bytes())


@cache
def default_tokenizer() -> Tokenizer:
    """Of the default model."""
    return Tokenizer(default_model().tokenizer_json)


def _read() -> DefaultModel:
    source = GgufCheckpoint(default_checkpoint())
    return DefaultModel(
        tokenizer_json=tokenizer_json(source),
        chat_template=source.chat_template or "",
        architecture=source.architecture,
        checkpoint=source.describe(),
    )
