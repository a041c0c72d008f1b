"""`experiment.yaml`: the arms of an experiment, who is assigned, and the metric that decides.

::

    name: warmer-prompt
    model: smollm2
    unit: user
    share: 0.5
    arms:
      - name: control
      - name: warm
        prompt: kind-assistant@3
        sampling: {temperature: 0.9}
    primary: feedback
    minimum_effect: 0.05
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from enginehouse.specifications import checked, read_yaml
from enginehouse.traffic import Feedback, RequestSample
from enginehouse.traffic.samples import Outcome

_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_PROMPT = r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExperimentMetric(StrEnum):
    """A metric that arms are compared by; each exposed request has one value of it, or none.

    Rollout analyses use the same names for the same metrics.
    """

    ERROR_RATE = "error_rate"
    EMPTY_RATE = "empty_rate"
    REFUSAL_RATE = "refusal_rate"
    #: Share of thumbs down among the requests that got a thumb.
    FEEDBACK = "feedback"
    #: Mean score of the requests that got one, 0 to 1.
    SCORE = "score"
    TTFT = "ttft"
    INTER_TOKEN = "inter_token"  # noqa: S105 - not a password
    TOTAL_TIME = "total_time"
    OUTPUT_LENGTH = "output_length"

    @property
    def is_rate(self) -> bool:
        """Whether the metric is 0 or 1 for a request."""
        return self in {self.ERROR_RATE, self.EMPTY_RATE, self.REFUSAL_RATE, self.FEEDBACK}

    @property
    def unit(self) -> str:
        """The unit of its values."""
        if self in {self.TTFT, self.INTER_TOKEN, self.TOTAL_TIME}:
            return "s"
        return "tokens" if self is self.OUTPUT_LENGTH else ""

    @property
    def better(self) -> str:
        """Which direction is better, for display in a report."""
        if self is self.OUTPUT_LENGTH:
            return "neither"
        return "higher" if self is self.SCORE else "lower"

    def value_of(self, sample: RequestSample, feedback: Feedback | None) -> float | None:
        """The metric's value for one request; None if it has none.

        Rejected, cancelled and overloaded requests say nothing about an arm's quality.
        """
        if self is self.FEEDBACK:
            if feedback is None or feedback.thumbs is None:
                return None
            return float(feedback.thumbs < 0)
        if self is self.SCORE:
            return None if feedback is None else feedback.score
        if self is self.ERROR_RATE:
            judged = sample.outcome in {Outcome.OK, Outcome.ERROR}
            return float(sample.outcome is Outcome.ERROR) if judged else None
        if sample.outcome is not Outcome.OK:
            return None
        values = {
            self.EMPTY_RATE: float(sample.empty),
            self.REFUSAL_RATE: float(sample.refusal),
            self.TTFT: sample.ttft_s,
            self.INTER_TOKEN: sample.inter_token_s,
            self.TOTAL_TIME: sample.total_s,
            self.OUTPUT_LENGTH: float(sample.completion_tokens),
        }
        return values[self]


class SamplingOverrides(_Frozen):
    """Fields of an OpenAI request that an arm sets if the caller did not."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, lt=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    seed: int | None = None

    def given(self) -> dict[str, Any]:
        """The fields that are set."""
        return self.model_dump(exclude_none=True)


class ArmSpec(_Frozen):
    """One arm; the others are compared with the first arm of an experiment.

    Attributes:
        weight: relative to the other arms' weights.
        version: None means that normal routing chooses.
        prompt: ``name@version`` or ``name@alias`` in MLflow's prompt registry. It is used if a
            request has no system message, and its text is frozen when the experiment starts.
    """

    name: str = Field(pattern=_NAME)
    weight: float = Field(default=1.0, gt=0)
    version: int | None = Field(default=None, ge=1)
    sampling: SamplingOverrides = SamplingOverrides()
    prompt: str | None = Field(default=None, pattern=_PROMPT)


class ExperimentSpec(_Frozen):
    """The definition of an experiment.

    Attributes:
        unit: what is assigned to an arm; the same unit always gets the same arm.
        share: share of the units that take part.
        primary: the metric that decides; the others are reported only.
        minimum_effect: smallest difference that matters: of shares for rates (0.05 is five
            percentage points), relative to the first arm's mean for the others (0.05 is 5 %).
        power: probability of detecting that difference if it exists.
        alpha: probability, over all arms together, of detecting a difference that does not exist.
        baseline: the primary metric's expected share or mean, to compute the sample size before
            the start.
        spread: standard deviation of one unit's value, for the same purpose; rates do not need it.
        identical: permits arms without a difference, for an A/A test.
    """

    name: str = Field(pattern=_NAME)
    model: str = Field(min_length=1)
    unit: Literal["user", "conversation", "request"] = "user"
    share: float = Field(default=1.0, gt=0, le=1)
    arms: tuple[ArmSpec, ...] = Field(min_length=2)
    primary: ExperimentMetric = ExperimentMetric.FEEDBACK
    metrics: tuple[ExperimentMetric, ...] = tuple(ExperimentMetric)
    minimum_effect: float = Field(default=0.05, gt=0)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    baseline: float | None = Field(default=None, gt=0)
    spread: float | None = Field(default=None, gt=0)
    identical: bool = False

    @model_validator(mode="after")
    def _arms_differ(self) -> ExperimentSpec:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"arms need names of their own, these are {names}")
        treatments = {arm.model_dump_json(exclude={"name", "weight"}) for arm in self.arms}
        if len(treatments) == 1 and not self.identical:
            raise ValueError(
                "all arms do the same: give one a version, sampling or a prompt, or say "
                "`identical: true` for an A/A test"
            )
        return self

    @property
    def compared(self) -> tuple[ExperimentMetric, ...]:
        """The primary metric, followed by the others."""
        return (self.primary, *(m for m in self.metrics if m is not self.primary))


def load_experiment(path: Path) -> ExperimentSpec:
    """Read a definition from YAML (or JSON, which is YAML).

    Raises:
        SpecError: names the field, its value and what it accepts.
    """
    return parse_experiment(read_yaml(path), str(path))


def parse_experiment(raw: object, where: str) -> ExperimentSpec:
    """Validate a definition that has been parsed already.

    Raises:
        SpecError: names the field, its value and what it accepts.
    """
    return checked(ExperimentSpec, raw, where)
