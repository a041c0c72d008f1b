"""The proof of an embedding model: compares its vectors with those of sentence-transformers."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
from enginehouse.build.parity_report import PARITY_FILE, write_report
from enginehouse.build.plan import Progress
from enginehouse.engine.embedding import EmbeddingEngine
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from enginehouse.bundle import Bundle
from enginehouse.errors import QualityError, ReferenceMissingError
from enginehouse.manifest import MANIFEST_NAME, EngineManifest, Quality

#: The default embedding model with fp16 weights, computed in f32, has a difference of 3.2e-4.
MAX_ABS_DIFFERENCE = 1e-3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbeddingReference(_Frozen):
    """Vectors that sentence-transformers computed with torch in float32.

    Attributes:
        made_with: versions of the packages that computed them.
        texts: n texts; texts that are too long are truncated, as that library does.
        embeddings: n vectors, rounded to six decimals.
    """

    schema_version: Literal[1] = 1
    checkpoint_sha256: str
    model: str
    made_with: dict[str, str]
    texts: tuple[str, ...]
    embeddings: tuple[tuple[float, ...], ...]


class EmbeddingMeasurements(_Frozen):
    """Differences over all texts and dimensions; `min_cosine` is the cosine of the worst text."""

    texts: int
    max_abs_difference: float
    min_cosine: float


class EmbeddingParityReport(_Frozen):
    """`reports/parity.json` of an embedding model.

    Attributes:
        status: ``passed``; ``accepted`` if a user accepted a difference above the threshold;
            ``not_measured`` if a user accepted that there is no reference.
        accepted_reason: the reason that the user gave.
        threshold: largest difference allowed in any component.
        tokenizer: how ids were checked: by the vectors, since the runtime has no tokenizer.
    """

    schema_version: Literal[1] = 1
    kind: Literal["embedding"] = "embedding"
    status: Literal["passed", "accepted", "not_measured"]
    accepted_reason: str | None
    runtime: str
    weight_format: str
    precision_hint: str
    measured_at: datetime
    cpu_model: str
    reference: dict[str, str]
    threshold: float = MAX_ABS_DIFFERENCE
    tokenizer: str = (
        "the checkpoint's own, run by the library tokenizers; the runtime has none to compare "
        "with, so a wrong id shows as a difference of vectors"
    )
    measurements: EmbeddingMeasurements | None

    @property
    def summary(self) -> Quality:
        """The summary of the proof for the manifest."""
        found = self.measurements
        return Quality(
            status=self.status,
            accepted_reason=self.accepted_reason,
            max_abs_difference=found.max_abs_difference if found else None,
            min_cosine=found.min_cosine if found else None,
        )


def find_reference(checkpoint_sha256: str) -> EmbeddingReference | None:
    """The reference of a checkpoint that ships with the project; None if there is none."""
    name = f"embedding-{checkpoint_sha256[:16]}.json"
    shipped = files("enginehouse.build").joinpath("references", name)
    if not shipped.is_file():
        return None
    return EmbeddingReference.model_validate_json(shipped.read_bytes())


def prove_embeddings(
    draft: EngineManifest, bundle_dir: Path, accept_quality: str | None, progress: Progress
) -> EngineManifest:
    """Load the unfinished bundle as in serving, compare its vectors, and write the report.

    Returns:
        `draft` with the summary of the proof.

    Raises:
        ReferenceMissingError: if there is no reference and `accept_quality` gives no reason.
        QualityError: if a difference is above the threshold and there is no reason either.
    """
    reference = find_reference(draft.checkpoint.sha256)
    if reference is None and accept_quality is None:
        raise ReferenceMissingError(
            "no reference vectors are known for this checkpoint (sha256 "
            f"{draft.checkpoint.sha256[:12]}…): build unproven with "
            '--accept-quality "REASON", which the bundle records'
        )
    measured = None
    if reference is not None:
        progress("proving quality: vectors against the reference")
        (bundle_dir / MANIFEST_NAME).write_text(draft.model_dump_json(), encoding="utf-8")
        engine = EmbeddingEngine(Bundle.open(bundle_dir))
        measured = measure_embeddings(engine, reference)
    report = _report(draft, reference, measured, accept_quality)
    write_report(bundle_dir / PARITY_FILE, report)
    return draft.model_copy(update={"quality": report.summary})


def compare_again(bundle: Bundle) -> EmbeddingParityReport:
    """Compare a finished bundle with its reference again.

    Raises:
        ReferenceMissingError: if there is no reference.
        QualityError: if a difference is above the threshold.
    """
    manifest = bundle.manifest
    reference = find_reference(manifest.checkpoint.sha256)
    if reference is None:
        raise ReferenceMissingError(
            f"no reference vectors of checkpoint {manifest.checkpoint.sha256[:12]}… are known"
        )
    measured = measure_embeddings(EmbeddingEngine(bundle), reference)
    return _report(manifest, reference, measured, None)


def measure_embeddings(
    engine: EmbeddingEngine, reference: EmbeddingReference
) -> EmbeddingMeasurements:
    """Differences between an engine's vectors and the reference's."""
    ours = engine.embed(reference.texts, truncate=True).vectors
    theirs: NDArray[np.float64] = np.array(reference.embeddings)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return EmbeddingMeasurements(
        texts=len(ours),
        max_abs_difference=float(np.abs(ours - theirs).max()),
        min_cosine=float(((ours * theirs).sum(axis=1) / lengths).min()),
    )


def _report(
    draft: EngineManifest,
    reference: EmbeddingReference | None,
    measured: EmbeddingMeasurements | None,
    accept_quality: str | None,
) -> EmbeddingParityReport:
    passed = measured is not None and measured.max_abs_difference <= MAX_ABS_DIFFERENCE
    if measured is not None and not passed and accept_quality is None:
        raise QualityError(
            f"the engine is not proven: vectors differ by {measured.max_abs_difference:.2g} from "
            f"the reference's, more than {MAX_ABS_DIFFERENCE:g}; build with --accept-quality "
            "REASON to accept it nevertheless"
        )
    unproven: Literal["accepted", "not_measured"] = "accepted" if measured else "not_measured"
    return EmbeddingParityReport(
        status="passed" if passed else unproven,
        accepted_reason=None if passed else accept_quality,
        runtime=f"{draft.runtime} {draft.runtime_version}",
        weight_format=draft.weight_format,
        precision_hint=draft.engine_settings.precision_hint,
        measured_at=datetime.now(UTC),
        cpu_model=draft.built_on.cpu_model,
        reference={} if reference is None else {"model": reference.model, **reference.made_with},
        measurements=measured,
    )
