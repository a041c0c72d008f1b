"""Next-token distributions of each runtime, for the proof of quality."""

from __future__ import annotations

from enginehouse.build.parity import NextTokenLogProbs

from enginehouse.bundle import Bundle
from enginehouse.manifest import EngineSettings


def distributions_of(bundle: Bundle, settings: EngineSettings) -> NextTokenLogProbs | str:
    """The function that computes an engine's log-probabilities, or the reason if there is none."""
    if bundle.manifest.runtime != "openvino":
        return (
            f"runtime {bundle.manifest.runtime!r} gives log-probabilities of generated tokens only"
        )
    from enginehouse.build.openvino_distributions import next_token_log_probs

    return next_token_log_probs(bundle.engine_dir, settings)
