"""Proves a bundle's quality: loads its engine with the settings of serving and measures it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from enginehouse.build.distributions import distributions_of
from enginehouse.build.formats import THRESHOLDS, ParityThresholds, WeightFormat
from enginehouse.build.parity import failures, measure
from enginehouse.build.parity_report import ParityReport
from enginehouse.build.plan import Progress
from enginehouse.build.proof_set import proof_set
from enginehouse.build.reference import ProofReference
from enginehouse.engine.runtime import Runtime, SlotState
from enginehouse.engine.runtimes import load_runtime

from enginehouse.bundle import Bundle
from enginehouse.errors import BuildError, QualityError
from enginehouse.generation import GenerationRequest
from enginehouse.manifest import EngineManifest
from enginehouse.text import Tokenizer

_WAY_OUT = "choose a wider format, or build with --accept-quality REASON"


@contextmanager
def loaded(bundle: Bundle) -> Iterator[Runtime]:
    """A bundle's engine with the settings of serving; closed when the block ends.

    Raises:
        BuildError: if it cannot be loaded.
    """
    try:
        runtime = load_runtime(bundle, bundle.manifest.engine_settings)
    except RuntimeError as error:
        raise BuildError(f"the engine does not load: {error}") from error
    try:
        yield runtime
    finally:
        runtime.close()


def prove(
    bundle: Bundle,
    runtime: Runtime,
    reference: ProofReference,
    accept_quality: str | None,
    progress: Progress,
) -> ParityReport:
    """Measure a bundle's quality against its reference, with the thresholds of its format.

    Args:
        bundle: needs its manifest, but no reports.
        runtime: the loaded engine.
        reference: the reference result of the checkpoint.
        accept_quality: reason to accept an engine that exceeds a threshold; None refuses it.
        progress: called for each step.

    Raises:
        QualityError: lists each threshold that is exceeded.
    """
    progress("proving quality")
    thresholds = THRESHOLDS[WeightFormat(bundle.manifest.format)]
    measured = measure(
        reference,
        proof_set(),
        Tokenizer.from_file(bundle.tokenizer_path),
        distributions_of(bundle, bundle.manifest.engine_settings),
        partial(continue_greedily, runtime),
    )
    failed = failures(measured, thresholds)
    if failed and accept_quality is None:
        raise QualityError(f"the engine is not proven: {'; '.join(failed)}; {_WAY_OUT}")
    return _report(bundle.manifest, thresholds, accept_quality if failed else None).model_copy(
        update={
            "status": "accepted" if failed else "passed",
            "reference": {"proof_set": reference.proof_set, **reference.made_with},
            "measurements": measured,
            "failures": failed,
        }
    )


def unmeasured(manifest: EngineManifest, reason: str) -> ParityReport:
    """The report of a bundle that a user accepted without a reference."""
    return _report(manifest, THRESHOLDS[WeightFormat(manifest.format)], reason)


def _report(
    manifest: EngineManifest, thresholds: ParityThresholds, reason: str | None
) -> ParityReport:
    settings = manifest.engine_settings
    return ParityReport(
        status="not_measured",
        accepted_reason=reason,
        runtime=f"{manifest.runtime} {manifest.runtime_version}",
        weight_format=manifest.weight_format,
        precision_hint=settings.precision_hint,
        kv_cache_precision=settings.kv_cache_precision,
        measured_at=datetime.now(UTC),
        cpu_model=manifest.built_on.cpu_model,
        reference={},
        thresholds=thresholds,
        measurements=None,
        failures=(),
    )


def continue_greedily(
    runtime: Runtime, prompts: Sequence[Sequence[int]], tokens: int
) -> list[list[int]]:
    """Greedy ids of all prompts, generated in one batch; end tokens are ignored."""
    slots = [runtime.admit(GenerationRequest(list(p), max_tokens=tokens), ()) for p in prompts]
    answers: list[list[int]] = [[] for _ in prompts]
    open_slots = dict(enumerate(slots))
    while open_slots:
        runtime.step()
        for index, slot in tuple(open_slots.items()):
            drained = slot.drain()
            answers[index].extend(drained.token_ids)
            if drained.state is not SlotState.RUNNING:
                del open_slots[index]
    return answers
