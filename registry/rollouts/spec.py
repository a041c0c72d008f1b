"""`rollout.yaml`: the specification of a rollout.

Every field has a default, so an empty file is a complete specification.
"""

from __future__ import annotations

import itertools
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from enginehouse.specifications import checked, read_yaml

_WHOLE = 100
#: Upper limit of counts, so that every store and comparison can hold them (32-bit).
_MOST = 2**31 - 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RolloutMetric(StrEnum):
    """What an analysis compares; each `RequestSample` has one value of it, or none."""

    ERROR_RATE = "error_rate"
    EMPTY_RATE = "empty_rate"
    REFUSAL_RATE = "refusal_rate"
    TTFT = "ttft"
    INTER_TOKEN = "inter_token"  # noqa: S105 - not a password
    TOTAL_TIME = "total_time"
    OUTPUT_LENGTH = "output_length"
    COST = "cost"
    #: Share of thumbs down, from `/v1/feedback`.
    FEEDBACK = "feedback"
    #: A PromQL query from the specification.
    PROMETHEUS = "prometheus"

    @property
    def is_rate(self) -> bool:
        """Whether the metric is 0 or 1 for a request, so that shares are compared."""
        return self in {self.ERROR_RATE, self.EMPTY_RATE, self.REFUSAL_RATE, self.FEEDBACK}


class Direction(StrEnum):
    """Which direction counts as harm."""

    HIGHER_IS_WORSE = "higher_is_worse"
    LOWER_IS_WORSE = "lower_is_worse"
    EITHER_IS_WORSE = "either_is_worse"


class AnalysisSpec(_Frozen):
    """One comparison of the challenger with the champion.

    Attributes:
        margin: a step passes only when the data rule out harm larger than this: a difference of
            shares for rates (0.01 is one percentage point), a ratio less 1 for the others (0.15 is
            15 %).
        tolerance: harm up to this size is never a failure, even if certain; same unit as `margin`.
        floor: for rates: a challenger's share below it never fails.
        min_samples: for each version; the analysis is INCONCLUSIVE with fewer.
        query: for `prometheus`: PromQL in which ``{version}`` and ``{model}`` are replaced.
        at_most: for `prometheus`: the analysis fails if the challenger's value is above it.
        required: whether a step has to wait for this analysis to pass. Metrics that few requests
            have (feedback) are not required by default.
    """

    metric: RolloutMetric
    name: str | None = None
    direction: Direction = Direction.HIGHER_IS_WORSE
    margin: float = Field(gt=0)
    tolerance: float = Field(default=0.0, ge=0)
    floor: float = Field(default=0.0, ge=0, le=1)
    min_samples: int = Field(default=50, ge=1, le=_MOST)
    query: str | None = None
    at_most: float | None = None
    required: bool = True

    @property
    def title(self) -> str:
        """Name in reports."""
        return self.name or self.metric.value


class RolloutStep(_Frozen):
    """One step of a rollout.

    Attributes:
        weight: the challenger's share of new requests in percent; 0 is a shadow step.
        shadow: share of the champion's requests that are copied to the challenger.
        min_duration_s: minimum duration of the step.
        min_samples: minimum number of the challenger's requests in this step.
        scrutiny: multiplies every analysis' margin at this step. A step with little exposure only
            has to rule out large harm; the last comparing step uses the margin itself (1).
    """

    weight: int = Field(ge=0, le=_WHOLE)
    shadow: float = Field(default=0.0, ge=0, le=1)
    min_duration_s: float = Field(default=60.0, ge=0)
    min_samples: int = Field(default=100, ge=1, le=_MOST)
    scrutiny: float = Field(default=1.0, ge=1)

    @property
    def compares(self) -> bool:
        """Whether both versions receive requests, so that they can be compared."""
        return 0 < self.weight < _WHOLE


class Guards(_Frozen):
    """Limits that abort a rollout immediately, without a statistical test.

    Attributes:
        error_burst: aborts when this many of the challenger's last `error_window` requests failed.
        ttft_p99_s, total_p99_s: ceilings over the challenger's last 200 requests, or None.
        crashes: aborts when the challenger's engine died or stopped answering this many times.
    """

    error_burst: int = Field(default=10, ge=1, le=_MOST)
    error_window: int = Field(default=20, ge=1, le=_MOST)
    ttft_p99_s: float | None = Field(default=None, gt=0)
    total_p99_s: float | None = Field(default=None, gt=0)
    crashes: int = Field(default=2, ge=1, le=_MOST)


DEFAULT_ANALYSES = (
    AnalysisSpec(metric=RolloutMetric.ERROR_RATE, margin=0.01, floor=0.002, min_samples=100),
    AnalysisSpec(metric=RolloutMetric.EMPTY_RATE, margin=0.02, floor=0.002, min_samples=100),
    AnalysisSpec(
        metric=RolloutMetric.REFUSAL_RATE, margin=0.05, floor=0.01, min_samples=100, required=False
    ),
    AnalysisSpec(metric=RolloutMetric.TTFT, margin=0.15, tolerance=0.05),
    AnalysisSpec(metric=RolloutMetric.INTER_TOKEN, margin=0.15, tolerance=0.05),
    AnalysisSpec(metric=RolloutMetric.TOTAL_TIME, margin=0.2, tolerance=0.05),
    AnalysisSpec(
        metric=RolloutMetric.OUTPUT_LENGTH,
        margin=0.3,
        tolerance=0.1,
        direction=Direction.EITHER_IS_WORSE,
        required=False,
    ),
    AnalysisSpec(
        metric=RolloutMetric.FEEDBACK, margin=0.1, tolerance=0.02, min_samples=30, required=False
    ),
)

DEFAULT_STEPS = (
    RolloutStep(weight=0, shadow=0.1, min_duration_s=30, min_samples=20),
    RolloutStep(weight=5, scrutiny=8),
    RolloutStep(weight=25, scrutiny=4),
    RolloutStep(weight=50, min_duration_s=300, min_samples=1000),
    RolloutStep(weight=100, min_duration_s=60, min_samples=100),
)


class RolloutSpec(_Frozen):
    """The whole specification.

    Attributes:
        steps: with rising weights; the last weight is 100.
        mode: ``sequential`` may look at any time; ``fixed`` looks `looks` times at each step.
        alpha: probability, over a whole rollout and all analyses, that an identical version fails.
        beta: probability that a version which is worse by the margin passes an analysis.
        buckets: request properties to stratify by.
        sticky: see `enginehouse.traffic.Routes`.
        deadline_s: time limit of the whole rollout; it is aborted if not promoted by then.
        on_inconclusive: what happens at a step that has its time and samples but no verdict:
            ``hold`` waits for more samples until the deadline, ``abort`` aborts.
        errors_allowed: consecutive looks that may end in ERROR (no metrics) before a pause.
        price_prompt, price_completion: price of a million tokens, for the metric `cost`.
    """

    steps: tuple[RolloutStep, ...] = DEFAULT_STEPS
    analyses: tuple[AnalysisSpec, ...] = DEFAULT_ANALYSES
    guards: Guards = Guards()
    mode: Literal["sequential", "fixed"] = "sequential"
    looks: int = Field(default=5, ge=1, le=_MOST)
    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    beta: float = Field(default=0.005, gt=0, lt=0.5)
    buckets: tuple[Literal["tenant", "prompt_size"], ...] = ("prompt_size",)
    sticky: str = Field(default="none", pattern=r"^(none|user|conversation|header:[A-Za-z0-9-]+)$")
    deadline_s: float = Field(default=86_400.0, gt=0)
    on_inconclusive: Literal["hold", "abort"] = "hold"
    errors_allowed: int = Field(default=10, ge=0, le=_MOST)
    shadow_concurrency: int = Field(default=2, ge=1, le=_MOST)
    price_prompt: float = Field(default=1.0, ge=0)
    price_completion: float = Field(default=4.0, ge=0)

    @model_validator(mode="after")
    def _steps_rise_to_all(self) -> RolloutSpec:
        weights = [step.weight for step in self.steps]
        if not weights or weights[-1] != _WHOLE:
            raise ValueError("the last step's weight has to be 100")
        if any(later <= earlier for earlier, later in itertools.pairwise(weights)):
            raise ValueError(f"weights have to rise, these are {weights}")
        if not any(step.compares for step in self.steps):
            raise ValueError("one step at least needs a weight from 1 to 99, to compare at")
        return self

    @model_validator(mode="after")
    def _something_is_compared(self) -> RolloutSpec:
        titles = [analysis.title for analysis in self.analyses]
        if len(set(titles)) < len(titles):
            raise ValueError(f"analyses need different names, these are {titles}")
        if not any(analysis.required for analysis in self.analyses):
            raise ValueError("one analysis at least has to be required")
        return self


def load_spec(path: Path) -> RolloutSpec:
    """Read a specification from YAML (or JSON, which is YAML).

    Raises:
        SpecError: names the field, its value and what it accepts.
    """
    return parse_spec(read_yaml(path) or {}, str(path))


def parse_spec(raw: object, where: str) -> RolloutSpec:
    """Validate a specification that has been parsed already.

    Raises:
        SpecError: names the field, its value and what it accepts.
    """
    return checked(RolloutSpec, raw, where)
