"""Gate `quality`: compares the bundle's quality report with its thresholds and the champion's."""

from __future__ import annotations

from pathlib import Path

from enginehouse.build.parity_report import PARITY_FILE, ParityReport
from enginehouse.registry.gates.context import GateContext
from enginehouse.registry.rollouts.state import GateResult, Verdict
from pydantic import ValidationError

from enginehouse.bundle import Bundle
from enginehouse.errors import BundleError

NAME = "quality"
#: Largest permitted increase of perplexity over the champion's, as a ratio less 1.
PERPLEXITY_MARGIN = 0.05
#: One-sided level of the exact McNemar test on tasks.
_LEVEL = 0.05


def quality(context: GateContext) -> GateResult:
    """Pass if quality is within the format's thresholds and not worse than the champion's.

    Perplexity is compared only between versions of the same checkpoint, which share a tokenizer.
    Tasks are paired: McNemar's exact test uses those that only one of the two versions solves
    (McNemar, Psychometrika 12, 1947).
    """
    own = context.bundle.manifest.quality
    if own is None or own.status == "not_measured":
        why = "its quality was not measured at the build; prove it, or override with a reason"
        return GateResult(name=NAME, verdict=Verdict.INCONCLUSIVE, reason=why)
    if own.status == "accepted":
        why = f"past its format's thresholds, accepted at the build: {own.accepted_reason}"
        return GateResult(name=NAME, verdict=Verdict.FAIL, reason=why)
    if context.champion_bundle is None or context.bundle.manifest.embedding is not None:
        return GateResult(name=NAME, verdict=Verdict.PASS, reason="within its thresholds")
    return _against(context.bundle, context.champion_bundle)


def _against(challenger: Bundle, champion: Bundle) -> GateResult:
    numbers: dict[str, float] = {}
    failures = []
    mine, theirs = challenger.manifest.quality, champion.manifest.quality
    same = challenger.manifest.checkpoint.sha256 == champion.manifest.checkpoint.sha256
    if same and mine and theirs and mine.perplexity_ratio and theirs.perplexity_ratio:
        ratio = mine.perplexity_ratio / theirs.perplexity_ratio
        numbers["perplexity_ratio_to_champion"] = ratio
        if ratio > 1 + PERPLEXITY_MARGIN:
            failures.append(
                f"perplexity is {ratio:.3f} times the champion's, allowed are "
                f"{1 + PERPLEXITY_MARGIN:.2f}"
            )
    lost, gained = _tasks(challenger.path, champion.path)
    if lost + gained:
        # Imported here: scipy takes 30 MiB, which an idle controller does not need.
        from scipy.special import bdtrc

        numbers |= {"tasks_lost": lost, "tasks_gained": gained}
        p = float(bdtrc(lost - 1, lost + gained, 0.5))
        numbers["mcnemar_p"] = p
        if p < _LEVEL:
            failures.append(
                f"{lost} tasks are lost that the champion solves and {gained} gained "
                f"(McNemar p = {p:.3f})"
            )
    if failures:
        reason = "; ".join(failures)
        return GateResult(name=NAME, verdict=Verdict.FAIL, reason=reason, numbers=numbers)
    reason = "within its thresholds, and not worse than the champion"
    return GateResult(name=NAME, verdict=Verdict.PASS, reason=reason, numbers=numbers)


def _tasks(challenger: Path, champion: Path) -> tuple[int, int]:
    """Number of tasks that only the champion solves, and that only the challenger solves."""
    mine, theirs = _report(challenger), _report(champion)
    if mine is None or theirs is None or mine.reference != theirs.reference:
        return 0, 0
    if mine.measurements is None or theirs.measurements is None:
        return 0, 0
    lost, champions = set(mine.measurements.tasks.lost), set(theirs.measurements.tasks.lost)
    return len(lost - champions), len(champions - lost)


def _report(bundle: Path) -> ParityReport | None:
    path = bundle / PARITY_FILE
    if not path.is_file():
        return None
    try:
        return ParityReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BundleError(f"{path} cannot be read: {error.errors()[0]['msg']}") from None
