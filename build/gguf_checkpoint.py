"""Reads a GGUF checkpoint: its metadata, its tokenizer, and an exact F16 copy of its weights."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import dequantize

from enginehouse.digests import sha256_file
from enginehouse.errors import CheckpointError
from enginehouse.manifest import Architecture, Checkpoint, SpecialTokens

_MAGIC = b"GGUF"
_F16_FILE_TYPE = 1
#: GGUF architectures that OpenVINO GenAI's reader supports.
SUPPORTED_ARCHITECTURES = ("llama", "qwen2", "qwen3")


class GgufCheckpoint:
    """An opened GGUF file."""

    def __init__(self, path: Path) -> None:
        """Open and check a file.

        Raises:
            CheckpointError: if it is missing, not GGUF, truncated, or not supported.
        """
        self.path = path
        _check_header(path)
        try:
            self._reader = gguf.GGUFReader(path)
        except (ValueError, IndexError, KeyError, struct.error, OSError) as error:
            raise CheckpointError(
                f"{path}: damaged GGUF file ({error}); it may be truncated, download it again"
            ) from error
        self._check_length()
        self.family = str(self.require("general.architecture"))
        if self.family not in SUPPORTED_ARCHITECTURES:
            raise CheckpointError(
                f"{path}: architecture {self.family!r} is not supported from GGUF; supported: "
                f"{', '.join(SUPPORTED_ARCHITECTURES)}. A Hugging Face directory of the same "
                "model may work"
            )

    def get(self, key: str, default: Any = None) -> Any:
        """A metadata value, or `default`."""
        field = self._reader.fields.get(key)
        return default if field is None else field.contents()

    def require(self, key: str) -> Any:
        """A metadata value.

        Raises:
            CheckpointError: if the key is missing; names it.
        """
        if key not in self._reader.fields:
            raise CheckpointError(f"{self.path}: the GGUF metadata lacks {key!r}")
        return self.get(key)

    @property
    def architecture(self) -> Architecture:
        """Shape of the network."""
        heads = int(self.require(f"{self.family}.attention.head_count"))
        hidden = int(self.require(f"{self.family}.embedding_length"))
        return Architecture(
            family=self.family,
            layers=int(self.require(f"{self.family}.block_count")),
            hidden_size=hidden,
            attention_heads=heads,
            kv_heads=int(self.get(f"{self.family}.attention.head_count_kv", heads)),
            head_size=int(self.get(f"{self.family}.attention.key_length", hidden // heads)),
            vocabulary_size=len(self.require("tokenizer.ggml.tokens")),
            intermediate_size=self.get(f"{self.family}.feed_forward_length"),
            tied_embeddings=all(t.name != "output.weight" for t in self._reader.tensors),
        )

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer together."""
        return int(self.require(f"{self.family}.context_length"))

    @property
    def weight_format(self) -> str:
        """Quantisation of most of the checkpoint's weights, for example ``q4_1``."""
        names = [tensor.tensor_type.name.lower() for tensor in self._reader.tensors]
        matrices = [name for name in names if name != "f32"] or names
        return max(set(matrices), key=matrices.count)

    @property
    def special_tokens(self) -> SpecialTokens:
        """BOS, end and padding ids."""
        end = int(self.require("tokenizer.ggml.eos_token_id"))
        ends = [end]
        for key in ("tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"):
            other = self.get(key)
            if other is not None and int(other) not in ends:
                ends.append(int(other))
        bos = self.get("tokenizer.ggml.bos_token_id")
        return SpecialTokens(
            bos_id=None if bos is None else int(bos),
            end_ids=tuple(ends),
            pad_id=int(self.get("tokenizer.ggml.padding_token_id", end)),
            add_bos=bool(self.get("tokenizer.ggml.add_bos_token", False)),
        )

    @property
    def chat_template(self) -> str | None:
        """The Jinja source of the chat template, if the checkpoint has one."""
        template = self.get("tokenizer.chat_template")
        return str(template) if template else None

    def describe(self) -> Checkpoint:
        """Identity of the checkpoint, with the file's sha256."""
        return Checkpoint(
            kind="gguf",
            name=str(self.get("general.name", self.path.stem)),
            sha256=sha256_file(self.path),
            license=self.get("general.license"),
            base_model=self.get(
                "general.base_model.0.repo_url", self.get("general.base_model.0.name")
            ),
            datasets=tuple(self.get("general.datasets", ())),
        )

    def write_f16(self, target: Path) -> None:
        """Write the same model with every quantised tensor dequantised to F16.

        OpenVINO's reader loses accuracy on Q4_1 and refuses Q8_0 embeddings, but reads F16 exactly.
        The values are those of the quantised file, rounded to F16.
        """
        with _closing_writer(target, self.family) as writer:
            for key, field in self._reader.fields.items():
                if not key.startswith("GGUF.") and key != "general.architecture":
                    _copy_field(writer, key, field)
            for tensor in self._reader.tensors:
                writer.add_tensor(tensor.name, _as_f16(tensor))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()

    def _check_length(self) -> None:
        size = self.path.stat().st_size
        end = max(
            (int(t.data_offset) + int(t.n_bytes) for t in self._reader.tensors), default=size + 1
        )
        if end > size:
            raise CheckpointError(
                f"{self.path}: truncated: {size} bytes, its tensors need {end}; download it again"
            )


def _check_header(path: Path) -> None:
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint; give a GGUF file or a directory")
    with path.open("rb") as stream:
        magic = stream.read(len(_MAGIC))
    if magic != _MAGIC:
        raise CheckpointError(
            f"{path}: not a GGUF file (it starts with {magic!r}); give a GGUF file or a "
            "Hugging Face directory"
        )


@contextmanager
def _closing_writer(target: Path, family: str) -> Iterator[Any]:
    writer = gguf.GGUFWriter(target, family)
    try:
        yield writer
    finally:
        writer.close()


def _copy_field(writer: Any, key: str, field: Any) -> None:
    value = _F16_FILE_TYPE if key == "general.file_type" else field.contents()
    if field.types[0] == gguf.GGUFValueType.ARRAY:
        writer.add_key_value(key, value, gguf.GGUFValueType.ARRAY, sub_type=field.types[1])
    else:
        writer.add_key_value(key, value, field.types[0])


def _as_f16(tensor: Any) -> np.ndarray[Any, Any]:
    if tensor.tensor_type == gguf.GGMLQuantizationType.F32:
        return np.asarray(tensor.data)
    return np.asarray(dequantize(tensor.data, tensor.tensor_type)).astype(np.float16)
