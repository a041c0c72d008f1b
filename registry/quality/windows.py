"""Compares two time windows of the quality log for drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from enginehouse.registry.quality.drift import (
    Drift,
    DriftThresholds,
    DriftVerdict,
    embedding_drift,
    length_drift,
)
from enginehouse.registry.quality.endpoint import Endpoint
from enginehouse.registry.quality.traces import TraceLog, TraceRecord
from numpy.typing import NDArray

from enginehouse.errors import ServingError
from enginehouse.settings import Settings

#: Maximum number of prompts in a window; the newest are used.
_MOST = 2000
_CUTS = (1000, 200)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A half-open interval of time, seconds since the epoch; `until` is excluded."""

    since: float
    until: float


def check_drift(
    settings: Settings,
    model: str,
    reference: TimeWindow,
    current: TimeWindow,
    *,
    limits: DriftThresholds,
) -> tuple[list[Drift], list[str]]:
    """Compare prompts by length and, if an embedding model is served, by embedding.

    Returns:
        The results, and sentences about comparisons that were not possible.

    Raises:
        RegistryError: if MLflow does not answer.
    """
    log = TraceLog(settings)
    before, after = (_records(log, model, window) for window in (reference, current))
    found = [
        length_drift([r.prompt_tokens for r in before], [r.prompt_tokens for r in after], limits)
    ]
    if found[0].verdict is DriftVerdict.TOO_FEW:
        note = (
            f"{len(before)} and {len(after)} traces; each window needs {limits.least}: raise "
            "ENGINEHOUSE_TRACE_SHARE or widen the windows"
        )
        return found, [note]
    try:
        with Endpoint(settings.addresses.api_url) as endpoint:
            embedder = endpoint.embedding_model()
            if embedder is None:
                return found, ["no embedding model is served, so lengths only were compared"]
            vectors = _vectors(endpoint, embedder, _prompts(before), _prompts(after))
    except ServingError as error:
        return found, [f"lengths only were compared: {error}"]
    found.append(embedding_drift(*vectors, limits))
    return found, [f"embeddings by {embedder}"]


def _records(log: TraceLog, model: str, window: TimeWindow) -> list[TraceRecord]:
    records = []
    for record in log.read(model, since=window.since, until=window.until):
        records.append(record)
        if len(records) == _MOST:
            break
    return records


def _vectors(
    endpoint: Endpoint, embedder: str, before: list[str], after: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Embeddings of both windows' prompts, cut to the same number of characters.

    The endpoint rejects texts longer than the embedding model's context, whose length in characters
    depends on the language.

    Raises:
        ServingError: if it rejects the shortest cut too.
    """
    for characters in _CUTS:
        try:
            cut = [[text[:characters] for text in texts] for texts in (before, after)]
            return endpoint.embed(embedder, cut[0]), endpoint.embed(embedder, cut[1])
        except ServingError:
            if characters == _CUTS[-1]:
                raise
    raise AssertionError


def _prompts(records: Sequence[TraceRecord]) -> list[str]:
    """Last user messages, without empty ones, which the endpoint rejects."""
    return [record.prompt for record in records if record.prompt.strip()]
