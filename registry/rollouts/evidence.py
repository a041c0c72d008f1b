"""Accumulated evidence of one step, in arrays whose size does not depend on the request count.

The controller adds samples as they arrive and may look at any time. A look costs the same at a
hundred requests as at a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from enginehouse.registry.rollouts.spec import RolloutMetric, RolloutSpec
from enginehouse.registry.rollouts.statistics import BINS, Floats, Ordering, bin_of
from numpy.typing import NDArray

from enginehouse.traffic.samples import Feedback, Outcome, RequestSample

_PER_MILLION = 1e-6
_SIZE_FACTOR_BITS = 2
#: Marks a request that has no value for a metric.
_NONE = float("nan")
_SHARE_SHAPE = 2
#: Maximum number of strata. Later ones share the last row. That stays valid, because the version
#: is assigned at random within it too, and limits a step's arrays to 30 MB.
_MOST_STRATA = 256


class RolloutSide(IntEnum):
    """The version that served a request; the first index of every array here."""

    CHAMPION = 0
    CHALLENGER = 1


@dataclass(slots=True)
class Evidence:
    """Sums over the requests of one step, by version and stratum.

    Attributes:
        strata: name of a stratum → its row.
        shares: rate metrics → requests and those that have it, shape [2 sides, strata, 2].
        histograms: other metrics → counts by bin, shape [2 sides, strata, `BINS`].
    """

    strata: dict[tuple[str, ...], int] = field(default_factory=dict)
    shares: dict[RolloutMetric, Floats] = field(default_factory=dict)
    histograms: dict[RolloutMetric, Floats] = field(default_factory=dict)

    def add_samples(
        self, spec: RolloutSpec, side: RolloutSide, samples: Sequence[RequestSample]
    ) -> None:
        """Add requests; those that say nothing about the version are skipped.

        Skipped are requests that named their version, shadow copies, and every outcome other than
        OK and ERROR. Latency, length and cost are taken from OK requests only.
        """
        told = [s for s in samples if _counts(s)]
        if not told:
            return
        rows = np.asarray([self._row(_stratum(s, spec)) for s in told])
        self.add(side, rows, _columns(told, spec))

    def add_feedback(self, side: RolloutSide, feedback: Sequence[Feedback]) -> None:
        """Add thumbs; the metric is the share of thumbs down."""
        thumbs = [float(f.thumbs < 0) for f in feedback if f.thumbs is not None]
        if thumbs:
            down = np.asarray(thumbs)
            self.add(side, np.zeros(down.size, np.int64), {RolloutMetric.FEEDBACK: down})

    def add(
        self, side: RolloutSide, rows: NDArray[np.int64], columns: Mapping[RolloutMetric, Floats]
    ) -> None:
        """Add values that are already arrays.

        Args:
            rows: stratum of each request, from 0, shape [requests].
            columns: values, shape [requests]; rates are 0 or 1; NaN means no value.
        """
        strata = int(rows.max()) + 1 if rows.size else 0
        for metric, values in columns.items():
            into = self._room(metric, strata)[side].reshape(-1)
            present = ~np.isnan(values)
            found = values[present]
            first = rows[present] * (_SHARE_SHAPE if metric.is_rate else BINS)
            if metric.is_rate:
                np.add.at(into, first, 1)
                np.add.at(into, first + 1, found)
            else:
                np.add.at(into, first + bin_of(found), 1)

    def requests(self, metric: RolloutMetric, side: RolloutSide) -> int:
        """Number of a version's requests that have a value for the metric."""
        if metric.is_rate:
            return int(self._room(metric, 0)[side, :, 0].sum())
        return int(self._room(metric, 0)[side].sum())

    def share(self, metric: RolloutMetric, side: RolloutSide) -> float:
        """Share of a version's requests that have the property; 0 without requests."""
        requests, having = self._room(metric, 0)[side].sum(axis=0)
        return float(having / requests) if requests else 0.0

    def sides(self, metric: RolloutMetric) -> tuple[Floats, Floats]:
        """The champion's and the challenger's sums."""
        both = self._room(metric, 0)
        return both[RolloutSide.CHAMPION], both[RolloutSide.CHALLENGER]

    def ordering(self, metric: RolloutMetric) -> Ordering:
        """The comparison of both versions, for metrics that are not rates."""
        return Ordering(*self.sides(metric))

    def _row(self, stratum: tuple[str, ...]) -> int:
        return self.strata.setdefault(stratum, min(len(self.strata), _MOST_STRATA - 1))

    def _room(self, metric: RolloutMetric, strata: int) -> Floats:
        """The metric's array, grown to at least `strata` rows."""
        held = self.shares if metric.is_rate else self.histograms
        width = _SHARE_SHAPE if metric.is_rate else BINS
        array = held.get(metric)
        if array is None:
            array = held[metric] = np.zeros((len(RolloutSide), max(strata, 1), width))
        elif array.shape[1] < strata:
            more = np.zeros((len(RolloutSide), strata - array.shape[1], width))
            array = held[metric] = np.concatenate([array, more], axis=1)
        return array


def _counts(sample: RequestSample) -> bool:
    return sample.judged and not sample.shadow


def _stratum(sample: RequestSample, spec: RolloutSpec) -> tuple[str, ...]:
    """Stratum of a request: its tenant and its prompt size in powers of 4, as the spec asks."""
    names = {
        "tenant": lambda: sample.tenant or "",
        "prompt_size": lambda: str(-(-sample.prompt_tokens.bit_length() // _SIZE_FACTOR_BITS)),
    }
    return tuple(names[bucket]() for bucket in spec.buckets)


def _columns(samples: Sequence[RequestSample], spec: RolloutSpec) -> dict[RolloutMetric, Floats]:
    """One array for each metric; NaN where a request has no value."""
    ok = np.asarray([s.outcome is Outcome.OK for s in samples])

    def of_ok(values: Sequence[float | None]) -> Floats:
        array = np.asarray([_NONE if value is None else value for value in values], float)
        return np.where(ok, array, _NONE)

    prompt_price = spec.price_prompt * _PER_MILLION
    price = spec.price_completion * _PER_MILLION
    return {
        RolloutMetric.ERROR_RATE: 1.0 - ok,
        RolloutMetric.EMPTY_RATE: of_ok([float(s.empty) for s in samples]),
        RolloutMetric.REFUSAL_RATE: of_ok([float(s.refusal) for s in samples]),
        RolloutMetric.TTFT: of_ok([s.ttft_s for s in samples]),
        RolloutMetric.INTER_TOKEN: of_ok([s.inter_token_s for s in samples]),
        RolloutMetric.TOTAL_TIME: of_ok([s.total_s for s in samples]),
        RolloutMetric.OUTPUT_LENGTH: of_ok([float(s.completion_tokens) for s in samples]),
        RolloutMetric.COST: of_ok(
            [s.prompt_tokens * prompt_price + s.completion_tokens * price for s in samples]
        ),
    }
