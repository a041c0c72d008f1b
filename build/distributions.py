"""Next-token distributions by runtime, for the proof."""

from __future__ import annotations

from enginehouse.build.parity import NextTokenLogProbs

from enginehouse.bundle import Bundle
from enginehouse.manifest import EngineSettings


def distributions_of(bundle: Bundle, settings: EngineSettings) -> NextTokenLogProbs | str:
    """The engine's log-probabilities, or why its runtime gives none."""
    if bundle.manifest.runtime != "openvino":
        return (
            f"runtime {bundle.manifest.runtime!r} gives log-probabilities of generated tokens only"
        )
    from enginehouse.build.openvino_distributions import next_token_log_probs

    return next_token_log_probs(bundle.engine_dir, settings)
