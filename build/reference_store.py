"""Finds reference results, or computes and caches them.

References of the default checkpoint ship with the project. Others are computed with torch once.
"""

from __future__ import annotations

import importlib.util
from importlib.resources import files
from pathlib import Path

from enginehouse.build.proof_set import ProofSet
from enginehouse.build.reference import ProofReference
from pydantic import ValidationError

from enginehouse.errors import BuildError, ReferenceMissingError
from enginehouse.text import Tokenizer


class ReferenceStore:
    """The references that ship with the project, and those in a cache directory."""

    def __init__(self, cache_dir: Path | None) -> None:
        """Open the store; without `cache_dir` it has shipped references only and caches nothing."""
        self._cache_dir = cache_dir

    def find(self, checkpoint_sha256: str, proofs: ProofSet) -> ProofReference | None:
        """The reference of a checkpoint; None if there is none.

        Raises:
            BuildError: if the cached file is damaged.
        """
        name = _file_name(checkpoint_sha256, proofs)
        shipped = files("enginehouse.build").joinpath("references", name)
        if shipped.is_file():
            return ProofReference.model_validate_json(shipped.read_bytes())
        cached = None if self._cache_dir is None else self._cache_dir / name
        if cached is None or not cached.is_file():
            return None
        try:
            return ProofReference.model_validate_json(cached.read_bytes())
        except ValidationError as error:
            raise BuildError(f"{cached}: damaged reference; delete the file") from error

    def keep(self, reference: ProofReference, proofs: ProofSet) -> None:
        """Write a reference to the cache, atomically."""
        if self._cache_dir is None:
            return
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        path = self._cache_dir / _file_name(reference.checkpoint_sha256, proofs)
        scratch = path.with_suffix(".partial")
        scratch.write_text(reference.model_dump_json(), encoding="utf-8")
        scratch.replace(path)

    def find_or_compute(
        self, checkpoint: Path, checkpoint_sha256: str, proofs: ProofSet, tokenizer: Tokenizer
    ) -> ProofReference:
        """The known reference of a checkpoint, or a newly computed one.

        Args:
            checkpoint: the checkpoint.
            checkpoint_sha256: its digest.
            proofs: the proof set.
            tokenizer: the checkpoint's tokenizer.

        Raises:
            ReferenceMissingError: if there is none and torch is not installed.
        """
        known = self.find(checkpoint_sha256, proofs)
        if known is not None:
            return known
        if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
            raise ReferenceMissingError(
                "no reference result is known for this checkpoint (sha256 "
                f"{checkpoint_sha256[:12]}…), and computing one needs torch and transformers: "
                "`pip install 'enginehouse[build]'`; or build unproven with "
                '--accept-quality "REASON", which the bundle records'
            )
        from enginehouse.build.reference_torch import compute_reference

        reference = compute_reference(checkpoint, checkpoint_sha256, proofs, tokenizer)
        self.keep(reference, proofs)
        return reference


def _file_name(checkpoint_sha256: str, proofs: ProofSet) -> str:
    return f"{checkpoint_sha256[:16]}-{proofs.digest}.json"
