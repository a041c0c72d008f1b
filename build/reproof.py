"""Proves a finished bundle again, on the host that will serve it."""

from __future__ import annotations

from pathlib import Path

from enginehouse.build.embedding_parity import compare_again
from enginehouse.build.plan import Progress
from enginehouse.build.proof import loaded, prove
from enginehouse.build.proof_set import proof_set
from enginehouse.build.reference_store import ReferenceStore

from enginehouse.bundle import Bundle
from enginehouse.errors import ReferenceMissingError
from enginehouse.manifest import Quality


def prove_again(bundle: Bundle, references_dir: Path, progress: Progress) -> Quality:
    """Verify a bundle's files and measure its quality, without changing it.

    Raises:
        BundleError: if a file differs from the manifest.
        ReferenceMissingError: if there is no reference.
        QualityError: if a threshold of its format is exceeded.
    """
    bundle.verify()
    manifest = bundle.manifest
    if manifest.embedding is not None:
        return compare_again(bundle).summary
    reference = ReferenceStore(references_dir).find(manifest.checkpoint.sha256, proof_set())
    if reference is None:
        raise ReferenceMissingError(
            f"no reference result of checkpoint {manifest.checkpoint.sha256[:12]}… is known here; "
            "build the checkpoint on this host, which computes and keeps it"
        )
    with loaded(bundle) as runtime:
        return prove(bundle, runtime, reference, None, progress).summary
