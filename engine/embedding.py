"""Computes embedding vectors of texts with OpenVINO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino
import tokenizers
from numpy.typing import NDArray

from enginehouse.bundle import Bundle
from enginehouse.errors import BundleError, ContextOverflowError, FingerprintError
from enginehouse.host import package_version

MODEL_FILE = "openvino_model.xml"
#: Without this hint a CPU with bf16 units computes in bf16, with errors of 2e-3.
PRECISION = "f32"
#: All texts up to this many tokens form one group.
_SHORT_TOKENS = 16
_SHOWN_CHARACTERS = 40

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of n texts.

    Attributes:
        vectors: float32 [n, dimensions], in the order of the texts.
        token_counts: tokens of each text, special ones included.
    """

    vectors: Vectors
    token_counts: list[int]


class EmbeddingEngine:
    """One loaded embedding model. Not thread-safe: it holds a single inference request."""

    def __init__(self, bundle: Bundle, *, threads: int = 0) -> None:
        """Load a bundle; `threads` 0 lets the runtime choose.

        Raises:
            BundleError: if the bundle holds no embedding model, or cannot be loaded.
            FingerprintError: if it was built with another version of OpenVINO.
        """
        manifest = bundle.manifest
        if manifest.embedding is None:
            raise BundleError(f"{bundle.path} is a text generator, not an embedding model")
        installed = package_version("openvino")
        if manifest.runtime_version != installed:
            raise FingerprintError(
                f"{bundle.path} was built with openvino {manifest.runtime_version}, but "
                f"{installed} is installed: build it again with `enginehouse build`"
            )
        self.facts = manifest.embedding
        self._pad_id = manifest.special_tokens.pad_id
        self._tokenizer = _tokenizer(bundle)
        self._request = _compiled(bundle, threads).create_infer_request()

    def tokenize(self, texts: Sequence[str], *, truncate: bool = False) -> list[list[int]]:
        """Ids of each text, special tokens included.

        Args:
            texts: any number of texts; an empty one has only special tokens.
            truncate: truncate a text that is too long, as the model's authors do, instead of
                refusing it.

        Raises:
            ContextOverflowError: names the first text that is too long, its tokens and the limit.
        """
        if not texts:
            return []
        most = self.facts.max_tokens
        found = [list(e.ids) for e in self._tokenizer.encode_batch_fast(list(texts))]
        for text, ids in zip(texts, found, strict=True):
            if len(ids) > most and not truncate:
                raise ContextOverflowError(
                    f"This model's maximum context length is {most} tokens. However, the text "
                    f"{text[:_SHOWN_CHARACTERS]!r}… has {len(ids)}, special tokens included: "
                    "shorten or split it",
                    field="text_input",
                )
        # The template ends with one special token, which truncation keeps.
        return [ids if len(ids) <= most else [*ids[: most - 1], ids[-1]] for ids in found]

    def embed(self, texts: Sequence[str], *, truncate: bool = False) -> Embedded:
        """Tokenize and embed texts; see `tokenize` and `embed_ids`.

        Raises:
            ContextOverflowError: if a text is too long.
        """
        ids = self.tokenize(texts, truncate=truncate)
        return Embedded(self.embed_ids(ids), [len(row) for row in ids])

    def embed_ids(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """Vectors of tokenized texts: float32 [n, dimensions], in the order of `ids`.

        Texts are padded to the longest of their inference call. Texts of similar lengths therefore
        share a call, so that a long one does not pad the short ones.
        """
        vectors = np.zeros((len(ids), self.facts.dimensions), np.float32)
        for rows in _by_length(ids):
            vectors[rows] = self._embed_padded([ids[row] for row in rows])
        return vectors

    def _embed_padded(self, ids: Sequence[Sequence[int]]) -> Vectors:
        width = max(len(row) for row in ids)
        padded = np.full((len(ids), width), self._pad_id, np.int64)
        mask = np.zeros((len(ids), width), np.int64)
        for index, row in enumerate(ids):
            padded[index, : len(row)] = row
            mask[index, : len(row)] = 1
        # The output is a view of the inference request's memory: read it before the next call.
        hidden = self._request.infer(
            {"input_ids": padded, "attention_mask": mask}, share_inputs=True, share_outputs=True
        )[0]
        pooled = hidden[:, 0] if self.facts.pooling == "cls" else _mean(hidden, mask)
        return _unit(pooled) if self.facts.normalise else np.array(pooled, np.float32)


def _tokenizer(bundle: Bundle) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_file(str(bundle.tokenizer_path))
    except Exception as error:
        # The library raises bare Exception for every malformed definition.
        raise BundleError(f"{bundle.tokenizer_path}: not a tokenizer: {error}") from error


def _compiled(bundle: Bundle, threads: int) -> Any:
    properties: dict[str, object] = {
        "INFERENCE_PRECISION_HINT": PRECISION,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    model = bundle.engine_dir / MODEL_FILE
    try:
        return openvino.Core().compile_model(str(model), "CPU", properties)
    except RuntimeError as error:
        raise BundleError(f"{model}: OpenVINO cannot load it: {error}") from error


def _by_length(ids: Sequence[Sequence[int]]) -> Iterable[list[int]]:
    """Indices of `ids`, grouped by length: all short texts, then powers of two."""
    groups: dict[int, list[int]] = {}
    for row, tokens in enumerate(ids):
        groups.setdefault((max(len(tokens), _SHORT_TOKENS) - 1).bit_length(), []).append(row)
    return groups.values()


def _mean(hidden: NDArray[Any], mask: NDArray[np.int64]) -> Vectors:
    """Mean of the hidden states [n, tokens, hidden] over the positions that the mask selects."""
    shown = mask[..., None].astype(np.float32)
    mean: Vectors = (hidden * shown).sum(axis=1) / shown.sum(axis=1)
    return mean


def _unit(vectors: Vectors) -> Vectors:
    """The vectors scaled to length 1; a zero vector is unchanged."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(length, np.float32(1e-12))
    return unit
