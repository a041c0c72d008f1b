"""The proof of an embedding model: its vectors against those of its authors' own library."""

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

#: fp16 weights computed in f32 are 3.2e-4 off on the default embedding model.
MAX_ABS_DIFFERENCE = 1e-3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbeddingReference(_Frozen):
    """What sentence-transformers computes with torch in float32.

    Attributes:
        made_with: versions of what computed it.
        texts: n texts; those that are too long are cut, as that library does.
        embeddings: n vectors, six decimals.
    """

    schema_version: Literal[1] = 1
    checkpoint_sha256: str
    model: str
    made_with: dict[str, str]
    texts: tuple[str, ...]
    embeddings: tuple[tuple[float, ...], ...]


class EmbeddingMeasurements(_Frozen):
    """Differences over all texts and dimensions; `min_cosine` is that of the worst text."""

    texts: int
    max_abs_difference: float
    min_cosine: float


class EmbeddingParityReport(_Frozen):
    """`reports/parity.json` of an embedding model.

    Attributes:
        status: ``passed``; ``accepted`` past the threshold by a person's word; ``not_measured``
            by a person's word, since there was no reference.
        threshold: most that any component may differ.
        tokenizer: how ids were checked: by the vectors, as the runtime has no tokenizer.
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
        """The proof in short, as the manifest has it."""
        found = self.measurements
        return Quality(
            status=self.status,
            accepted_reason=self.accepted_reason,
            max_abs_difference=found.max_abs_difference if found else None,
            min_cosine=found.min_cosine if found else None,
        )


def find_reference(checkpoint_sha256: str) -> EmbeddingReference | None:
    """The reference of a checkpoint, if one ships with the project."""
    name = f"embedding-{checkpoint_sha256[:16]}.json"
    shipped = files("enginehouse.build").joinpath("references", name)
    if not shipped.is_file():
        return None
    return EmbeddingReference.model_validate_json(shipped.read_bytes())


def prove_embeddings(
    draft: EngineManifest, bundle_dir: Path, accept_quality: str | None, progress: Progress
) -> EngineManifest:
    """Load the unfinished bundle as it would be served, compare, and write the report.

    Returns:
        `draft` with the proof in short.

    Raises:
        ReferenceMissingError: if there is no reference and `accept_quality` gives no reason.
        QualityError: past the threshold, likewise.
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
    """Compare a finished bundle with its reference once more.

    Raises:
        ReferenceMissingError: if there is no reference.
        QualityError: past the threshold.
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
            "REASON to take it all the same"
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
