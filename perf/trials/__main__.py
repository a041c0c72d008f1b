"""Tests `perf compare` itself: how often it finds a known regression, and false alarms.

One Triton loads the version, the same version again, and the version with every step slowed by a
known share (`enginehouse.perf.runtimes.slowed`). Trials of both kinds alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from enginehouse.perf.compare.measure import Effort, PerformanceComparison, compare_loaded
from enginehouse.perf.private_stack import with_runtime
from enginehouse.perf.private_triton import private_triton
from enginehouse.perf.profile import load_profile
from enginehouse.perf.prompts import PromptMaker
from enginehouse.perf.runtimes import slowed

from enginehouse.bundle import Bundle
from enginehouse.paired import Change

_MODEL = "trial"
_PLAIN, _SAME, _SLOWED = 1, 2, 3


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of one trial.

    Attributes:
        slowed: whether the second version was slowed.
        ratios: ratios of times by metric.
        pairs: pairs of bursts that were needed.
    """

    slowed: bool
    change: str
    ratios: dict[str, float]
    pairs: int


def run_trials(bundle: Bundle, trials: int, slowdown: float, most_pairs: int) -> list[TrialResult]:
    """Run `trials` comparisons of each kind.

    Args:
        bundle: the version.
        trials: comparisons of each kind.
        slowdown: share by which a step is longer; 0.111 is a tenth fewer tokens a second.
        most_pairs: largest number of pairs of bursts of a comparison.

    Raises:
        StackError, ServingError: if Triton or a request fails.
    """
    profile = load_profile("standard")
    maker = PromptMaker(bundle)
    settings = bundle.manifest.engine_settings
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        slow = with_runtime(bundle, slowed.NAME, Path(scratch) / "slowed")
        versions = {_PLAIN: bundle, _SAME: bundle, _SLOWED: slow}
        environ = dict(os.environ) | {slowed.SHARE_VARIABLE: str(slowdown)}
        loaded = {version: (one, settings) for version, one in versions.items()}
        with private_triton(_MODEL, loaded, environ) as addresses:
            for number in range(2 * trials):
                second = _SLOWED if number % 2 else _SAME
                found = compare_loaded(
                    addresses,
                    _MODEL,
                    {"the version": _PLAIN, "the other": second},
                    profile,
                    maker,
                    Effort(most_pairs=most_pairs),
                    place=f"trial {number}",
                )
                results.append(_result(found, is_slowed=second == _SLOWED))
                print(json.dumps(asdict(results[-1])), flush=True)  # noqa: T201 - a command
    return results


def _result(found: PerformanceComparison, *, is_slowed: bool) -> TrialResult:
    ratios = {name: round(judged.ratio, 4) for name, judged in found.metrics.items()}
    pairs = max(judged.pairs for judged in found.metrics.values())
    return TrialResult(is_slowed, found.change.value, ratios, pairs)


def table(results: Sequence[TrialResult], slowdown: float) -> str:
    """The frequency of each verdict as a Markdown table."""
    lines = ["| second version | trials | slower | same | faster | uncertain | pairs, mean |",
             "|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for is_slowed, title in ((False, "the same"), (True, f"each step {slowdown:.1%} longer")):
        kind = [result for result in results if result.slowed is is_slowed]
        counts = [
            str(sum(result.change == change.value for result in kind))
            for change in (Change.SLOWER, Change.SAME, Change.FASTER, Change.UNCERTAIN)
        ]
        pairs = sum(result.pairs for result in kind) / max(1, len(kind))
        lines.append(f"| {title} | {len(kind)} | {' | '.join(counts)} | {pairs:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the trials and write the results. Arguments: see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--trials", type=int, default=20, help="of each kind")
    parser.add_argument("--slowdown", type=float, default=0.111, help="share of a step")
    parser.add_argument("--pairs", type=int, default=60, help="most pairs of bursts a trial")
    parser.add_argument("--out", type=Path, required=True, help="Markdown; JSON beside it")
    given = parser.parse_args()
    results = run_trials(Bundle.open(given.bundle), given.trials, given.slowdown, given.pairs)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(table(results, given.slowdown), encoding="utf-8")
    data = json.dumps([asdict(result) for result in results], indent=1)
    given.out.with_suffix(".json").write_text(data, encoding="utf-8")
    print(table(results, given.slowdown))  # noqa: T201 - a command


if __name__ == "__main__":
    main()
