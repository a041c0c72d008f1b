"""What the samples of one step come to: sums that grow, whatever the number of requests.

A controller adds samples as they come and looks when it likes; a look costs the same at a hundred
requests and at a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from enginehouse.registry.rollouts.spec import Metric, RolloutSpec
from enginehouse.registry.rollouts.statistics import BINS, Floats, Ordering, bin_of
from numpy.typing import NDArray

from enginehouse.traffic.samples import Feedback, Outcome, RequestSample

_PER_MILLION = 1e-6
_SIZE_FACTOR_BITS = 2
#: What stands for "this request does not carry the metric".
_NONE = float("nan")
_SHARE_SHAPE = 2
#: So many tenants and sizes are told apart; later ones share the last row, which is as valid
#: (chance chose their version too) and keeps a step's sums under 30 MB.
_MOST_STRATA = 256


class Side(IntEnum):
    """Who served a request; the index into every array here."""

    CHAMPION = 0
    CHALLENGER = 1


@dataclass(slots=True)
class Evidence:
    """Sums over the requests of one step, by side and stratum.

    Attributes:
        strata: name of a stratum → its row.
        shares: rate metrics → requests and those that have it, shape [2 sides, strata, 2].
        histograms: other metrics → counts by bin, shape [2 sides, strata, `BINS`].
    """

    strata: dict[tuple[str, ...], int] = field(default_factory=dict)
    shares: dict[Metric, Floats] = field(default_factory=dict)
    histograms: dict[Metric, Floats] = field(default_factory=dict)

    def add_samples(self, spec: RolloutSpec, side: Side, samples: Sequence[RequestSample]) -> None:
        """Count requests; what says nothing about the version is passed over.

        That is: requests that chose their version, shadow copies, and those that ended in
        anything but OK and ERROR. Only OK ones have a time, a length and a cost.
        """
        told = [s for s in samples if _counts(s)]
        if not told:
            return
        rows = np.asarray([self._row(_stratum(s, spec)) for s in told])
        self.add(side, rows, _columns(told, spec))

    def add_feedback(self, side: Side, feedback: Sequence[Feedback]) -> None:
        """Count thumbs; the share of those that point down is the metric."""
        thumbs = [float(f.thumbs < 0) for f in feedback if f.thumbs is not None]
        if thumbs:
            down = np.asarray(thumbs)
            self.add(side, np.zeros(down.size, np.int64), {Metric.FEEDBACK: down})

    def add(self, side: Side, rows: NDArray[np.int64], columns: Mapping[Metric, Floats]) -> None:
        """Count values that are arrays already.

        Args:
            rows: stratum of each request, from 0, shape [requests].
            columns: values, shape [requests]; rates are 0 or 1; NaN is none.
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

    def requests(self, metric: Metric, side: Side) -> int:
        """How many requests of a side carry the metric."""
        if metric.is_rate:
            return int(self._room(metric, 0)[side, :, 0].sum())
        return int(self._room(metric, 0)[side].sum())

    def share(self, metric: Metric, side: Side) -> float:
        """Share of a side's requests that have the property; 0 without requests."""
        requests, having = self._room(metric, 0)[side].sum(axis=0)
        return float(having / requests) if requests else 0.0

    def sides(self, metric: Metric) -> tuple[Floats, Floats]:
        """Champion's and challenger's sums."""
        both = self._room(metric, 0)
        return both[Side.CHAMPION], both[Side.CHALLENGER]

    def ordering(self, metric: Metric) -> Ordering:
        """The sides' comparison, for metrics that are no rates."""
        return Ordering(*self.sides(metric))

    def _row(self, stratum: tuple[str, ...]) -> int:
        return self.strata.setdefault(stratum, min(len(self.strata), _MOST_STRATA - 1))

    def _room(self, metric: Metric, strata: int) -> Floats:
        """The metric's array, with at least so many rows."""
        held = self.shares if metric.is_rate else self.histograms
        width = _SHARE_SHAPE if metric.is_rate else BINS
        array = held.get(metric)
        if array is None:
            array = held[metric] = np.zeros((len(Side), max(strata, 1), width))
        elif array.shape[1] < strata:
            more = np.zeros((len(Side), strata - array.shape[1], width))
            array = held[metric] = np.concatenate([array, more], axis=1)
        return array


def _counts(sample: RequestSample) -> bool:
    return sample.judged and not sample.shadow


def _stratum(sample: RequestSample, spec: RolloutSpec) -> tuple[str, ...]:
    """What a request is compared within: its tenant, and its prompt's size in powers of 4."""
    names = {
        "tenant": lambda: sample.tenant or "",
        "prompt_size": lambda: str(-(-sample.prompt_tokens.bit_length() // _SIZE_FACTOR_BITS)),
    }
    return tuple(names[bucket]() for bucket in spec.buckets)


def _columns(samples: Sequence[RequestSample], spec: RolloutSpec) -> dict[Metric, Floats]:
    """One array a metric; NaN where a request does not carry it."""
    ok = np.asarray([s.outcome is Outcome.OK for s in samples])

    def of_ok(values: Sequence[float | None]) -> Floats:
        array = np.asarray([_NONE if value is None else value for value in values], float)
        return np.where(ok, array, _NONE)

    prompt_price = spec.price_prompt * _PER_MILLION
    price = spec.price_completion * _PER_MILLION
    return {
        Metric.ERROR_RATE: 1.0 - ok,
        Metric.EMPTY_RATE: of_ok([float(s.empty) for s in samples]),
        Metric.REFUSAL_RATE: of_ok([float(s.refusal) for s in samples]),
        Metric.TTFT: of_ok([s.ttft_s for s in samples]),
        Metric.INTER_TOKEN: of_ok([s.inter_token_s for s in samples]),
        Metric.TOTAL_TIME: of_ok([s.total_s for s in samples]),
        Metric.OUTPUT_LENGTH: of_ok([float(s.completion_tokens) for s in samples]),
        Metric.COST: of_ok(
            [s.prompt_tokens * prompt_price + s.completion_tokens * price for s in samples]
        ),
    }
